"""Where results live: one JSON file per calculation, read only when asked for.

The folder store is a maggma store, so it stands inside a jobflow ``JobStore``;
any other ``JobStore`` may take its place. It has one writer, the driver, which
`hold` sees to. The archive is a plain folder of finished documents without
jobflow's wrapping, made to be published.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import socket
import tempfile
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobflow import JobStore
from maggma.core import Store
from maggma.stores import MemoryStore
from monty.json import jsanitize
from pydantic import ValidationError

from adhesion.errors import (
    AdhesionError,
    CalculationError,
    DamagedFileError,
    InputError,
    SetupError,
)
from adhesion.files import MOVE_AWAY, read_json, set_aside, write_json
from adhesion.schemas import CalculationDocument, parse_document
from adhesion.study import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

Source = Literal["computed", "archive", "both"]

LOCK = "driver.lock"
BEAT_SECONDS = 10.0
"""How often the holder of a folder shows that it lives, by the time of its lock file."""
SILENT_SECONDS = 60.0
"""A holder on another host that has been silent for so long is dead."""
RESULTS = "results"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_log = logging.getLogger(__name__)


class FolderStore(Store):  # type: ignore[misc]
    """A maggma store of one JSON file per document, ``<path>/<uuid>.json``.

    Opening reads nothing. A query that names its uuids reads these files only;
    any other query loads all files, once.

    Parameters
    ----------
    path : str or Path
        The folder; made at the first write.
    """

    def __init__(self, path: str | Path) -> None:
        # Absolute, because a job changes its working folder; a string, for as_dict.
        self.path = str(Path(path).absolute())
        self._all: MemoryStore | None = None
        super().__init__(key="uuid")

    @property
    def name(self) -> str:
        """As 'folder:///home/me/results'."""
        return f"folder://{self.path}"

    @property
    def _collection(self) -> Any:
        return self._everything()._collection

    def connect(self, force_reset: bool = False) -> None:
        """Do nothing but forget what was read, if told to."""
        if force_reset:
            self._all = None

    def close(self) -> None:
        """Forget what was read."""
        self._all = None

    def file(self, uuid: str) -> Path:
        """Path of the document with this uuid.

        Raises
        ------
        ValueError
            If the uuid cannot be a file name.
        """
        if not isinstance(uuid, str) or not _NAME.fullmatch(uuid):
            raise ValueError(f"{uuid!r} cannot be the name of a file")
        return Path(self.path, f"{uuid}.json")

    def count(self, criteria: dict[str, Any] | None = None) -> int:
        """Count documents; all files, the damaged ones too, if no criteria are given."""
        return sum(1 for _ in (self.query(criteria, ["uuid"]) if criteria else self._uuids()))

    def query(
        self,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents that match MongoDB criteria.

        Raises
        ------
        DamagedFileError
            If a document named by its uuid cannot be read. A query over all
            documents leaves such files out and logs them; see `damaged`.
        """
        uuids = _named(criteria)
        if uuids is None:
            memory = self._everything()
        else:
            memory = _in_memory([d for d in map(self._read, uuids) if d is not None])
        yield from memory.query(criteria, properties, sort=sort, skip=skip, limit=limit)

    def update(
        self, docs: list[dict[str, Any]] | dict[str, Any], key: list[str] | str | None = None
    ) -> None:
        """Write documents, each whole or not at all; the same uuid is replaced.

        A damaged file in the way is kept beside as ``<uuid>.json.damaged``.

        Raises
        ------
        CalculationError
            If a document holds NaN or infinity, or is a second run (index above 1).
        SetupError
            If the folder cannot be written.
        """
        if key is not None and set([key] if isinstance(key, str) else key) - {"uuid", "index"}:
            raise ValueError(f"this store knows documents by their uuid, not by {key}")
        for doc in docs if isinstance(docs, list) else [docs]:
            plain = jsanitize({k: v for k, v in doc.items() if k != "_id"}, strict=True)
            path = self.file(plain["uuid"])
            if plain.get("index", 1) != 1:
                raise CalculationError(
                    "a job that replaces itself is not supported", where=str(plain.get("name"))
                )
            self._set_damaged_aside(path)
            try:
                write_json(path, plain)
            except ValueError:
                raise CalculationError(
                    "holds a number that is not finite", where=path.name
                ) from None
            if self._all is not None:
                self._all.update(plain, key="uuid")

    def remove_docs(self, criteria: dict[str, Any]) -> None:
        """Delete the documents that match the criteria."""
        for doc in list(self.query(criteria, ["uuid"])):
            self.file(doc["uuid"]).unlink(missing_ok=True)
            if self._all is not None:
                self._all.remove_docs({"uuid": doc["uuid"]})

    def groupby(
        self,
        keys: list[str] | str,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Group documents by keys; reads all files."""
        memory = self._everything()
        yield from memory.groupby(keys, criteria, properties, sort=sort, skip=skip, limit=limit)

    def ensure_index(self, key: str, unique: bool = False) -> bool:  # noqa: ARG002
        """Return True: the file name is the only index."""
        return True

    def damaged(self) -> list[Path]:
        """Files that cannot be read; reads all files."""
        return [path for path in map(self.file, self._uuids()) if _damage(path)]

    def __eq__(self, other: object) -> bool:
        """Stores are equal if their folders are."""
        return isinstance(other, FolderStore) and self.path == other.path

    def __hash__(self) -> int:
        """Hash of the folder."""
        return hash(self.path)

    def _uuids(self) -> list[str]:
        names = os.listdir(self.path) if os.path.isdir(self.path) else []  # noqa: PTH112, PTH208
        stems = (n[:-5] for n in names if n.endswith(".json"))
        return sorted(s for s in stems if _NAME.fullmatch(s))

    def _read(self, uuid: str) -> dict[str, Any] | None:
        try:
            path = self.file(uuid)
        except ValueError:
            return None
        return _read_wrapped(path) if path.exists() else None

    def _everything(self) -> MemoryStore:
        if self._all is None:
            docs = []
            for uuid in self._uuids():
                try:
                    docs.append(_read_wrapped(self.file(uuid)))
                except DamagedFileError as error:
                    _log.warning("left out: %s", error)
            self._all = _in_memory(docs)
        return self._all

    def _set_damaged_aside(self, path: Path) -> None:
        if path.exists() and _damage(path):
            set_aside(path)


def _named(criteria: dict[str, Any] | None) -> list[str] | None:
    """Return the uuids that the criteria ask for, or None if they leave them open."""
    wanted = (criteria or {}).get("uuid")
    if isinstance(wanted, str):
        return [wanted]
    if isinstance(wanted, dict) and isinstance(wanted.get("$in"), list):
        return [u for u in dict.fromkeys(wanted["$in"]) if isinstance(u, str)]
    return None


def _in_memory(docs: list[dict[str, Any]]) -> MemoryStore:
    memory = MemoryStore(key="uuid")
    memory.connect()
    if docs:
        memory._collection.insert_many(docs)
    return memory


def _read_wrapped(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or data.get("uuid") != path.stem or "output" not in data:
        raise DamagedFileError(
            "holds no jobflow document of this name",
            where=str(path),
            hint=MOVE_AWAY,
        )
    return data


def _damage(path: Path) -> DamagedFileError | None:
    try:
        output = _read_wrapped(path)["output"]
        if isinstance(output, dict) and "recipe" in output:
            _checked(output, path.stem, str(path))
    except DamagedFileError as error:
        return error
    return None


def open_store(folder: Path) -> JobStore:
    """Return the jobflow store of a folder, ``<folder>/results/<hash>.json``.

    Reads nothing and makes nothing, so any number of documents opens at once.
    """
    store = JobStore(FolderStore(folder / RESULTS))
    store.connect()
    return store


def configured_store(path: Path, *, to_write: bool = True) -> JobStore:
    """Return the JobStore that a jobflow settings file names, connected.

    Parameters
    ----------
    path : Path
        Settings file of jobflow.
    to_write : bool
        Whether results will be put there.

    Raises
    ------
    InputError
        If the file names no store that lasts.
    SetupError
        If the store cannot be reached.
    """
    data, _ = load_yaml(path)
    spec = data.get("JOB_STORE")
    docs = spec.get("docs_store") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(docs, dict) or "type" not in docs:
        raise InputError(
            "names no store",
            where=f"{path}, JOB_STORE.docs_store.type",
            hint="see jobflow's settings",
        )
    if docs["type"] == "MemoryStore":
        raise InputError(
            "a MemoryStore forgets all results at the end",
            where=f"{path}, JOB_STORE.docs_store.type",
            hint="name another store, or leave out --jobstore",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated there
            store = JobStore.from_dict_spec(spec)
            store.connect()
            store.count()
    except KeyError as error:
        raise InputError(
            f"unknown store type {error.args[0]!r}", where=f"{path}, JOB_STORE.docs_store.type"
        ) from None
    except Exception as error:  # any store raises what it likes
        raise SetupError(
            f"the store cannot be used ({type(error).__name__}: {error})", where=str(path)
        ) from None
    if to_write and getattr(store.docs_store, "read_only", False):
        raise InputError(
            f"a {docs['type']} that is only read forgets all results at the end",
            where=f"{path}, JOB_STORE.docs_store.read_only",
            hint="read_only: false",
        )
    return store


@dataclass(frozen=True)
class Found:
    """A document and where it came from."""

    document: CalculationDocument
    source: Source


class Results:
    """Documents by the hash of their recipe, from a store and a published archive.

    Parameters
    ----------
    store : JobStore
        Where new results go; connected, of any kind.
    archive : Path, optional
        Folder of published results, ``<hash>.json`` each; never written here.
    """

    def __init__(self, store: JobStore, archive: Path | None = None) -> None:
        self.store = store
        self.archive = archive

    def get(self, hash: str) -> Found | None:
        """Return the document of a recipe hash; the store's, where both have a finished one.

        Raises
        ------
        DamagedFileError
            If it is there but cannot be trusted, and nowhere else.
        """
        stored, archived, errors = None, None, []
        try:
            stored = self._from_store(hash)
        except DamagedFileError as error:
            errors.append(error)
        try:
            archived = self._from_archive(hash)
        except DamagedFileError as error:
            errors.append(error)
        if stored is not None and archived is not None:
            if stored.status == archived.status:
                return Found(stored, "both")
            best: tuple[CalculationDocument, Source] = (
                (archived, "archive") if archived.status == "done" else (stored, "computed")
            )
            return Found(*best)
        if stored is not None:
            return Found(stored, "computed")
        if archived is not None:
            return Found(archived, "archive")
        if errors:
            raise errors[0]
        return None

    def finished(self, hash: str) -> Found | None:
        """Return the document only if its calculation is done.

        Raises
        ------
        DamagedFileError
            As `get`.
        """
        found = self.get(hash)
        return found if found is not None and found.document.status == "done" else None

    def add(self, document: CalculationDocument, **wrapping: Any) -> None:
        """Put a document into the store, in place of an older one of the same hash.

        Parameters
        ----------
        document : CalculationDocument
            Its hash must be its recipe's.
        **wrapping : Any
            Further fields of jobflow's document (name, hosts, metadata), and `save`
            as for ``JobStore.update``.

        Raises
        ------
        CalculationError
            If the hash is not the recipe's or a number is not finite.
        """
        if document.hash != document.recipe.hash:
            raise CalculationError(
                f"the document is named {document.hash}, its recipe {document.recipe.hash}",
                where=document.label,
            )
        _plain(document)
        self.put(document.hash, document, name=document.label, **wrapping)

    def put(
        self,
        uuid: str,
        output: Any,
        *,
        name: str = "",
        hosts: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        save: dict[str, Any] | None = None,
    ) -> None:
        """Store any job's output as jobflow does."""
        document = {
            "uuid": uuid,
            "index": 1,
            "output": output,
            "completed_at": datetime.now().isoformat(),
            "metadata": metadata or {},
            "hosts": hosts or [],
            "name": name,
        }
        self.store.update(document, key=["uuid", "index"], save=save)

    def _from_store(self, hash: str) -> CalculationDocument | None:
        # A FolderStore may raise here, naming the file.
        wrapped = self.store.query_one({"uuid": hash}, sort={"index": -1}, load=True)
        output = wrapped.get("output") if wrapped else None
        if not isinstance(output, dict) or "recipe" not in output:
            return None
        docs = self.store.docs_store
        where = str(docs.file(hash)) if isinstance(docs, FolderStore) else f"{docs.name}, {hash}"
        return _checked(output, hash, where)

    def _from_archive(self, hash: str) -> CalculationDocument | None:
        if self.archive is None:
            return None
        path = self.archive / f"{hash}.json"
        return _checked(read_json(path), hash, str(path)) if path.exists() else None


def as_document(output: Any) -> CalculationDocument | None:
    """Return a job's output as its document, or None if it is something else."""
    if isinstance(output, CalculationDocument):
        return output
    if not isinstance(output, dict) or not {"recipe", "hash", "status"} <= output.keys():
        return None
    return parse_document(_without_classes(output))


def land(document: CalculationDocument, folder: Path) -> Path:
    """Write a document into an archive folder as plain JSON; return its path.

    Raises
    ------
    CalculationError
        If a number is not finite.
    SetupError
        If the folder cannot be written.
    """
    path = folder / f"{document.hash}.json"
    write_json(path, _plain(document))
    return path


def _plain(document: CalculationDocument) -> dict[str, Any]:
    data = document.model_dump(mode="json")
    try:
        json.dumps(data, allow_nan=False)
    except ValueError:
        raise CalculationError(
            "a number of the result is not finite", where=document.label
        ) from None
    return data


def _without_classes(data: Any) -> Any:
    """Drop the @module, @class and @version that jobflow adds."""
    if isinstance(data, dict):
        return {k: _without_classes(v) for k, v in data.items() if not k.startswith("@")}
    if isinstance(data, list):
        return [_without_classes(v) for v in data]
    return data


def _checked(data: Any, hash: str, where: str) -> CalculationDocument:
    hint = MOVE_AWAY
    try:
        document = parse_document(_without_classes(data))
    except (ValidationError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DamagedFileError(f"holds no document ({reason})", where=where, hint=hint) from None
    for what, found in (("name", document.hash), ("recipe", document.recipe.hash)):
        if found != hash:
            raise DamagedFileError(f"its {what} inside is {found}", where=where, hint=hint)
    return document


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a second driver out of a folder; the lock of a dead process does not count.

    The kernel's lock on ``driver.lock`` ends with the process, also after a
    kill or a reboot. What is written in the file names the holder. One on
    another host, whose lock may not be seen from here, is known by the file's
    time, which it renews every 10 s; silent for 60 s it counts as dead.

    Raises
    ------
    SetupError
        If another driver is at work there (pid, host, since when), or if the
        folder has no locks.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SetupError(f"cannot be written: {error.strerror}", where=str(path)) from None
    try:
        _take(handle, path)
        _write(handle, json.dumps(_identity(os.getpid()) | {"since": _now()}))
        with _heartbeat(handle):
            try:
                yield
            finally:
                _write(handle, "")
    finally:
        os.close(handle)


def in_use_by(folder: Path) -> str:
    """Say who holds a folder, in words; empty if nobody does who lives."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return ""
    try:
        holder = _holder(handle)
        if holder is None:
            return ""
        if holder["host"] == socket.gethostname():
            return _in_words(holder) if _alive(holder) else ""
        return _in_words(holder) if _silent_seconds(handle, folder) < SILENT_SECONDS else ""
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    try:
        lock_file(handle, path)
        holder = _holder(handle)
    except BlockingIOError:
        raise _held(path.parent, _holder(handle)) from None
    if holder is None:
        return
    if holder["host"] != socket.gethostname():
        silent = _silent_seconds(handle, path.parent)
        if silent < SILENT_SECONDS:
            raise SetupError(
                f"held by {_in_words(holder)}, which gave a sign of life {silent:.0f} s ago",
                where=str(path.parent),
                hint=f"if it has died, type the same again in {SILENT_SECONDS - silent:.0f} s",
            )
        return
    if _alive(holder):  # though the lock is free: it does not work on this file system
        raise _held(path.parent, holder)


@contextmanager
def _heartbeat(handle: int) -> Iterator[None]:
    """Renew the time of the lock file until the end."""
    end = threading.Event()

    def beat() -> None:
        while not end.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(handle)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _silent_seconds(handle: int, folder: Path) -> float:
    """Age of the lock file by the clock of its own disk: that of its host may be another."""
    with tempfile.TemporaryFile(dir=folder) as file:
        now = os.fstat(file.fileno()).st_mtime
    return max(0.0, now - os.fstat(handle).st_mtime)


def lock_file(handle: int, path: Path) -> None:
    """Take the kernel's lock on an open file, without waiting.

    Raises
    ------
    BlockingIOError
        If another process has it.
    SetupError
        If the file system knows no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        raise SetupError(
            f"cannot be locked: {error.strerror}",
            where=str(path),
            hint="choose a folder on another disk with --store",
        ) from None


def _held(folder: Path, holder: dict[str, Any] | None) -> AdhesionError:
    who = _in_words(holder) if holder else "another process"
    return SetupError(
        f"already in use by {who}",
        where=str(folder),
        hint="wait for it, or choose another folder with --store",
    )


def _in_words(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _holder(handle: int) -> dict[str, Any] | None:
    """Return what the lock file says; None if it is empty or was cut off by a kill."""
    try:
        data = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return None
    known = isinstance(data, dict) and {"pid", "host", "boot", "start", "since"} <= data.keys()
    return data if known else None


def _alive(holder: dict[str, Any]) -> bool:
    """Whether the very process still runs, and not a later one of the same pid or boot."""
    now = _identity(holder["pid"])
    return bool(now["start"]) and all(now[key] == holder[key] for key in now)


def _identity(pid: int) -> dict[str, Any]:
    """Tell a process of this host from all others, also after a reboot (Linux)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        start = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19]
    except OSError:  # no such process, or a system without /proc: the kernel's lock decides
        boot, start = "", ""
    return {"pid": pid, "host": socket.gethostname(), "boot": boot, "start": start}


def _now() -> str:
    return datetime.now().isoformat(" ", "seconds")


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
