"""numpy, for sums over whole pages at a time, without the threads of its linear algebra.

That starts one a core as it is imported, which spin for a while, and is never asked for anything.
"""

import os

_THREADS = "OPENBLAS_NUM_THREADS"

if _THREADS in os.environ:
    import numpy as np
else:
    os.environ[_THREADS] = "1"
    import numpy as np

    del os.environ[_THREADS]  # nothing that the daemon starts is told so

__all__ = ["np"]
