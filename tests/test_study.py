from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from adhesion.errors import InputError
from adhesion.study import (
    LEVEL_ORDER,
    MAX_BYTES,
    Level,
    Study,
    builtin_levels,
    data_path,
    load_machine,
    load_study,
    merge,
)

STUDY = """\
name: t
interfaces:
  - film: Ag
    substrate: {material: Au, miller: [1, 1, 1]}
"""
TEMPLATE = data_path("configs", "studies", "template.yaml")


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_study(write(folder, text))
    assert str(folder / "study.yaml") in caught.value.where
    return str(caught.value).removeprefix(str(folder))


# What a good study means


def test_a_name_alone_is_the_001_plane(tmp_path):
    (spec,) = load_study(write(tmp_path, STUDY)).interfaces
    assert spec.label == "Ag(001)/Au(111)"
    assert spec.short == "Ag/Au"


def test_paths_are_relative_to_the_study(tmp_path):
    text = STUDY + "materials: {A: {cif: sub/a.cif}, B: {cif: /b.cif}}\n"
    materials = load_study(write(tmp_path, text)).materials
    assert materials["A"].cif == tmp_path / "sub" / "a.cif"
    assert materials["B"].cif == Path("/b.cif")


def test_sodium_alone_gets_the_surface_tensions_of_sodium(tmp_path):
    assert load_study(write(tmp_path, STUDY)).surface_tensions == []
    sodium = load_study(write(tmp_path, STUDY.replace("Ag", "Na"))).surface_tensions
    names = [("paper", None), ("liquid Na", 393.15), ("own", None)]
    assert [(s.name, s.temperature_K) for s in sodium] == names
    none = STUDY.replace("Ag", "Na") + "surface_tensions: []\n"
    assert load_study(write(tmp_path, none)).surface_tensions == []


def test_built_in_levels_hold_for_every_study(tmp_path):
    study = load_study(write(tmp_path, STUDY))
    assert study.level_names == list(LEVEL_ORDER) == list(builtin_levels())
    for name in LEVEL_ORDER:
        assert study.level(name).name == name


def test_a_change_leaves_the_rest_of_a_level(tmp_path):
    text = STUDY + "levels: {quick: {strain: {max_film: 0.01}}}\n"
    level = load_study(write(tmp_path, text)).level("quick")
    assert level.strain.max_film == 0.01
    assert level.strain.max_substrate == builtin_levels()["quick"]["strain"]["max_substrate"]


def test_oxides_get_their_own_settings_only_where_there_is_oxygen(tmp_path):
    level = load_study(write(tmp_path, STUDY)).level("quick")
    cutoffs = [
        level.for_elements(e).calculator.settings["ecut_eV"] for e in ({"Na", "Pb"}, {"Na", "O"})
    ]
    assert cutoffs == [340, 450]


def test_another_calculator_takes_no_settings_of_the_old_one(tmp_path):
    text = STUDY + "levels: {quick: {calculator: {name: emt}}}\n"
    level = load_study(write(tmp_path, text)).level("quick")
    for elements in ({"Ag"}, {"Al", "O"}):
        assert level.for_elements(elements).calculator.model_dump() == {
            "name": "emt",
            "settings": {},
            "proxy": None,
        }
    assert level.with_oxygen["relax_slabs"] == ["metal", "compound"]


def test_one_setting_of_the_same_calculator_leaves_the_others(tmp_path):
    text = STUDY + "levels: {quick: {calculator: {name: GPAW, settings: {ecut_eV: 500}}}}\n"
    settings = load_study(write(tmp_path, text)).level("quick").calculator.settings
    assert settings["ecut_eV"] == 500
    assert settings["functional"] == "PBE"


def test_select_takes_short_and_full_names_in_the_order_of_the_study(tmp_path):
    study = load_study(write(tmp_path, STUDY + "  - {film: Ag, substrate: Pd}\n"))
    both = [i.label for i in study.select(["Ag/Pd", "Ag(001)/Au(111)"])]
    assert both == ["Ag(001)/Au(111)", "Ag(001)/Pd(001)"]
    assert study.select([]) == study.interfaces
    with pytest.raises(InputError, match=r"did you mean 'Ag/P[d]'"):
        study.select(["Ag/Pt"])


def test_a_yaml_anchor_may_be_used(tmp_path):
    text = STUDY + "  - {film: &f {material: Ag, miller: [1, 1, 1]}, substrate: Pd}\n"
    text += "  - {film: *f, substrate: Pt}\n"
    assert load_study(write(tmp_path, text)).interfaces[2].label == "Ag(111)/Pt(001)"


numbers = st.integers() | st.text(max_size=3)
trees = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(numbers, lambda t: st.dictionaries(st.sampled_from("abc"), t)),
)


@given(trees, trees)
def test_merge_keeps_what_is_not_changed_and_takes_what_is(base, changes):
    merged = merge(base, changes)
    assert merge(merged, changes) == merged
    assert merge(base, {}) == base
    assert merge({}, changes) == changes
    assert set(merged) == set(base) | set(changes)


# What is refused: file, line, key, and the nearest known word


BAD = [
    (STUDY + "interfacs: 3\n", ["line 5, interfacs: unknown key", "'interfaces'"]),
    (STUDY + "path: /etc\n", ["line 5, path: unknown key"]),
    (STUDY.replace("film", "flim"), ["line 3, interfaces.0"]),
    (STUDY.replace("miller", "millr"), ["line 4, interfaces.0.substrate.millr", "'miller'"]),
    (STUDY.replace("[1, 1, 1]", "[0, 0, 0]"), ["substrate.miller: 0, 0, 0 is no plane"]),
    (STUDY.replace("[1, 1, 1]", "[0, 0, -10]"), ["line 4", "above 9"]),
    (STUDY.replace("[1, 1, 1]", "[0, 1]"), ["substrate.miller: too few values"]),
    (STUDY.replace("[1, 1, 1]", "[0, 1, 0.5]"), ["a whole number, not 0.5"]),
    (STUDY.replace("[1, 1, 1]", "111"), ["should be a list", "not 111"]),
    (STUDY.replace("film: Ag", "film: No"), ["line 3", "should be text", "not False"]),
    (STUDY.replace("name: t", "name: [t]"), ["line 1, name: should be text"]),
    (STUDY.replace("name: t\n", ""), ["the key 'name' is missing"]),
    ("name: t\ninterfaces: []\n", ["line 2, interfaces", "one or more"]),
    ("name: t\ninterfaces: Ag/Au\n", ["line 2, interfaces: should be a list"]),
    (STUDY + "1: 2\n", ["line 5, 1: should be text"]),
    (STUDY + "levels: {smoke: [1]}\n", ["line 5, levels.smoke: should be a mapping"]),
    (STUDY + "levels: {smok: {n_gaps: 3}}\n", ["line 5, levels.smok", "'smoke'"]),
    (STUDY + "levels: {smoke: {n_gap: 3}}\n", ["levels.smoke.n_gap", "'n_gaps'"]),
    (STUDY + "levels:\n  smoke:\n    v[cuum_A: 8\n", ["smoke.v[cuum_A: unknown key", "'vacuum_A'"]),
    (STUDY + "levels: {smoke: {name: x}}\n", ["levels.smoke.name: unknown key"]),
    (
        STUDY + "levels:\n  smoke:\n    with_oxygen:\n      strain: {max_flim: 0.1}\n",
        ["line 8, levels.smoke.with_oxygen.strain.max_flim", "'max_film'"],
    ),
    (
        STUDY + "levels:\n  quick:\n    with_oxygen: {with_oxygen: {n_gaps: 3}}\n",
        ["line 7, levels.quick.with_oxygen: 'with_oxygen' cannot stand here"],
    ),
    (STUDY + "levels: {smoke: {strain: {share: flim}}}\n", ["strain.share", "'film'"]),
    (STUDY + "levels: {smoke: {strain: {share: .nan}}}\n", ["line 5", "strain.share"]),
    (STUDY + "levels: {smoke: {strain: {max_film: .nan}}}\n", ["max_film", "nan"]),
    (STUDY + "levels: {smoke: {vacuum_A: .inf}}\n", ["line 5, levels.smoke.vacuum_A", "inf"]),
    (STUDY + "levels: {smoke: {vacuum_A: -1}}\n", ["line 5, levels.smoke.vacuum_A", "-1"]),
    (STUDY + "levels: {smoke: {layers: {film: three}}}\n", ["layers.film: should be a whole"]),
    (STUDY + "levels: {smoke: {relax_slabs: [metals]}}\n", ["relax_slabs.0", "'metal'"]),
    (
        STUDY + "levels: {quick: {calculator: {settings: {a: {b: [1, .nan]}}}}}\n",
        ["line 5, levels.quick.calculator.settings: a.b is no finite number"],
    ),
    (
        STUDY + "levels: {quick: {calculator: {settings: {a: 2020-01-01}}}}\n",
        ["a is neither text nor a number"],
    ),
    (STUDY + "materials: {X: {cif: x.cif, kind: metl}}\n", ["materials.X.kind", "'metal'"]),
    (STUDY + "materials: {X: {cif: 3}}\n", ["materials.X.cif: should be"]),
    (STUDY + 'materials: {"../x": {cif: x.cif}}\n', ["line 5", "'../x' is no name"]),
    (STUDY.replace("film: Ag", 'film: "../../x"'), ["line 3", "is no name"]),
    (STUDY.replace("film: Ag", 'film: "$(ls); a b"'), ["line 3", "is no name"]),
    (STUDY.replace("name: t", "name: a/../b"), ["line 1, name", "is no name"]),
    (STUDY.replace("name: t", f"name: {'a' * 65}"), ["line 1, name", "at most 64"]),
    (STUDY + "    structure: a.xyz\n", ["line 3, interfaces.0", "go together"]),
    (STUDY + "    reference: {W_ad_J_m2: .nan, source: a}\n", ["W_ad_J_m2", "finite"]),
    (STUDY + "    measured: [{surface: a, theta_deg: 181, source: b}]\n", ["theta_deg", "180"]),
    (STUDY + "    measured: [{surface: a, theta_deg: .nan, source: b}]\n", ["theta_deg"]),
    (STUDY + "surface_tensions: [{sigma_J_m2: 1.0}]\n", ["line 5", "needs its source"]),
    (STUDY + "surface_tensions: [{name: liquid na}]\n", ["tensions.0.name", "'liquid Na'"]),
    (STUDY + STUDY.split("interfaces:\n")[1], ["Ag(001)/Au(111) stands here twice"]),
    (STUDY + "name: u\n", ["line 5, name: the key 'name' stands here twice", "line 1"]),
    (
        STUDY + "levels:\n  smoke: {n_gaps: 3}\n  quick: {}\n  smoke: {n_gaps: 4}\n",
        ["line 8, levels.smoke: the key 'smoke' stands here twice, first in line 6"],
    ),
    ("", ["the file is empty", "adhesion init"]),
    ("# a comment\n", ["the file is empty"]),
    ("- a\n", ["holds a list"]),
    ("hello\n", ["holds a str"]),
    ("a: [1,\nb: }\n", ["line 2: is no YAML"]),
    (STUDY + "\ttitle: x\n", ["line 5: is no YAML"]),
    (STUDY + "title: \0\n", ["line 5: is no text"]),
    (STUDY + "---\na: 1\n", ["line 5: is no YAML"]),
    (STUDY + "? [a]\n: 2\n", ["line 5: is no YAML"]),
    (STUDY + "title: !!python/object/apply:os.getcwd []\n", ["line 5: is no YAML"]),
    (STUDY + "title: 2020-99-99\n", ["is no YAML"]),
    (STUDY + f"title: {'9' * 5000}\n", ["is no YAML"]),
    ("name: t\ninterfaces: &x [*x]\n", ["more than", "aliases"]),
    ("a: " + "[" * 2000, ["is no YAML"]),
    ("# " + "x" * MAX_BYTES, ["larger than"]),
]


@pytest.mark.parametrize(("text", "parts"), BAD, ids=[parts[0] for _, parts in BAD])
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, parts):
    message = refusal(tmp_path, text)
    for part in parts:
        assert part in message
    assert len(message.splitlines()) <= 2


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "more than 20000 values" in refusal(tmp_path, "\n".join(lines))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(bytes(range(256))), "cannot be read as text"),
    ],
)
def test_what_is_no_text_file_is_refused(tmp_path, make, words):
    path = tmp_path / "study.yaml"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        load_study(path)
    assert str(path) in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputError):
        load_study(path)


def test_an_unknown_level_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'smoke'"):
        load_study(write(tmp_path, STUDY)).level("smok")


def test_machine_files(tmp_path):
    path = write(tmp_path, "workers: 2\nthreads: 3\n")
    assert (load_machine(path).workers, load_machine(path).threads) == (2, 3)
    with pytest.raises(InputError, match=r"line 1, worker: unknown key.*\n.*'workers'"):
        load_machine(write(tmp_path, "worker: 2\n"))
    with pytest.raises(InputError, match="line 1, workers"):
        load_machine(write(tmp_path, "workers: 0\n"))


# The template


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all models in its fields."""
    found = {model}
    stack = [field.annotation for field in model.model_fields.values()]
    while stack:
        annotation = stack.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= models(annotation)
        stack.extend(typing.get_args(annotation))
    return found


def test_the_template_names_every_key():
    text = TEMPLATE.read_text(encoding="utf-8")
    keys = {key for model in models(Study) | models(Level) for key in model.model_fields}
    # Of a level of one's own; a proxy is for the smoke tests of the study that comes along.
    keys -= {"description", "proxy", "species", "scale"}
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()


def test_the_examples_in_the_template_are_valid(tmp_path):
    text = TEMPLATE.read_text(encoding="utf-8")
    for block in ("# materials:", "# levels:"):
        head, _, rest = text.partition(block)
        example, gap, tail = rest.partition("\n\n")
        text = head + block[2:] + re.sub(r"(?m)^# ", "", example) + gap + tail
    # Comments of the interfaces: keys of the first one, then two more.
    start, end = text.index("interfaces:"), text.index("# -----", text.index("structures/"))
    part = re.sub(r"(?m)^( +)# (?=(reference|measured|termination|  |- ))", r"\1", text[start:end])
    study = load_study(write(tmp_path, text[:start] + part + text[end:]))
    assert [i.label for i in study.interfaces] == [
        "Ag(001)/Au(001)",
        "Ag(111)/MgO(001)",
        "Cu(001)/Ni(001)",
    ]
    assert study.interfaces[0].measured[0].theta_deg == 10
    assert study.interfaces[0].substrate.termination == "Au"
    assert study.interfaces[2].film_atoms == [4, 5, 6, 7]
    assert study.materials["MgO"].oxidation_states == {"Mg": 2, "O": -2}
    assert study.level("smoke").layers.film == 5


def test_what_the_template_says_of_quick_is_the_default(tmp_path):
    block = TEMPLATE.read_text(encoding="utf-8").partition("# levels:\n")[2]
    changes = yaml.safe_load(re.sub(r"(?m)^# ", "", block))
    plain = load_study(write(tmp_path, STUDY)).level("quick")
    changed = load_study(write(tmp_path, STUDY + yaml.safe_dump({"levels": changes})))
    settings = changed.level("quick")
    assert settings.calculator.settings.pop("dipole") is True
    assert settings == plain
