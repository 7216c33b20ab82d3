"""Builds the CUDA kernel as CuPy does for a GPU, without one: CuPy's own way from source and flags.

    echo '{"source": "...", "flags": [["-DA=1"]], "targets": ["80"]}' | python nvrtc.py

prints what came of each: CuPy's options, what NVRTC built or its error, its log. It needs CuPy and
NVRTC alone. CuPy goes its whole way, through its headers, options and program; only the device that
it would ask for its architecture is spared it, and the driver that would load the result is missed
at the very end.
"""

import io
import json
import os
import sys
from importlib import import_module


def main():
    """Build all that standard input asks for."""
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # neither read nor write a cache of files
    cupy, core, compiler, nvrtc = map(
        import_module,
        ("cupy", "cupy._core.core", "cupy.cuda.compiler", "cupy_backends.cuda.libs.nvrtc"),
    )
    built = []

    class Program(compiler._NVRTCProgram):
        """CuPy's program, and a note of what it builds."""

        def compile(self, options=(), log_stream=None):
            log = io.StringIO()
            binary, mapping = super().compile(options, log)
            built.append({"options": options, "binary": binary.hex(), "log": log.getvalue()})
            return binary, mapping

    def build(source, flags, target):
        built.clear()
        try:
            core.compile_with_cache(source, tuple(flags), target, False)
        except compiler.CompileException as error:
            return {"error": str(error)}
        except Exception as error:  # without a driver nothing can be loaded
            if not any(f"-arch=sm_{target}" in each["options"] for each in built):
                return {"error": f"{type(error).__name__}: {error}"}
        return built[-1]

    compiler._NVRTCProgram = Program
    compiler._get_arch_for_options_for_nvrtc = lambda arch=None: (f"-arch=sm_{arch}", "cubin")
    asked = json.load(sys.stdin)
    results = [
        build(asked["source"], flags, target)
        for flags in asked["flags"]
        for target in asked["targets"]
    ]
    version = ".".join(map(str, nvrtc.getVersion()))
    json.dump({"cupy": cupy.__version__, "nvrtc": version, "results": results}, sys.stdout)


if __name__ == "__main__":
    main()
