"""How GPAW is compiled: with MPI where its compiler is installed, serially otherwise."""

# GPAW executes this file and reads these names.
import shutil

libraries = ["xc", "blas"]
if shutil.which("mpicxx") is None:
    mpi = False
    compiler = "g++"
