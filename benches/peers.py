"""The peers of the benchmarks in Python, behind the line protocol that benches/README.md describes.

usage: peers.py [--threads N]

The numbers of threads are set both in each package and by the CPUs that the process may use.
"""

import argparse
import importlib.metadata
import importlib.util
import math
import os
import pathlib
import shutil
import sys
import time
import tomllib
import warnings

import numpy as np

PROTOCOL = "lazuli-bench 2"

# A sample is as many calls as take this long, so that the clock costs nothing.
SAMPLE_SECONDS = 5e-4


class Unable(Exception):
    """Why a contestant has no part in a workload."""


def extent(word, n):
    cols = 1000 if n >= 1_000_000 else 100
    return {"n": n, "sqrt": math.isqrt(n), "cols": cols, "rows": n // cols}.get(word, word)


def make_inputs(workload, dtype, n):
    rng = np.random.default_rng(0)
    inputs = {}
    for name, spec in workload["inputs"].items():
        shape = [extent(word, n) for word in spec.get("shape", ["n"])]
        low, high = spec.get("low", 0.1), spec.get("high", 2.0)
        if np.issubdtype(dtype, np.integer):
            inputs[name] = rng.integers(low, high, shape).astype(dtype)
        else:
            inputs[name] = rng.uniform(low, high, shape).astype(dtype)
    return inputs


def statements(formula):
    """The formula's assignments, and the expression of the result."""
    lines = [line for line in formula.strip().splitlines() if line.strip()]
    return lines[:-1], lines[-1]


def as_function(workload, namespace, formula=None):
    """The formula as a Python function of its inputs."""
    before, result = statements(formula or workload["formula"])
    body = "".join(f"    {line}\n" for line in before)
    source = f"def f({', '.join(workload['inputs'])}):\n{body}    return {result}\n"
    scope = dict(namespace)
    exec(source, scope)
    return scope["f"]


FUNCTIONS = "exp log sin cos tanh sqrt arcsin where".split()


def names_of(module, **more):
    return {name: getattr(module, name) for name in FUNCTIONS} | more


# A maker gives a function to time, and the seconds of compiling it where the package tells; else its first call is
# what compiling costs.


def numpy_peer(server):
    f = as_function(server.workload, names_of(np, sum=np.sum, max=np.max, mean=np.mean))
    inputs = server.inputs
    return lambda: f(**inputs), 0.0


def numexpr_peer(server):
    if not server.workload.get("numexpr", False):
        raise Unable("numexpr cannot say this formula")
    import numexpr

    numexpr.set_num_threads(server.threads)
    _, formula = statements(server.workload["formula"])
    inputs = server.inputs
    return lambda: numexpr.evaluate(formula, local_dict=inputs, truediv=True), None


def jax_peer(server):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    f = jax.jit(as_function(server.workload, names_of(jnp, sum=jnp.sum, max=jnp.max, mean=jnp.mean)))
    arrays = {name: jnp.asarray(a) for name, a in server.inputs.items()}
    return lambda: f(**arrays).block_until_ready(), None


def numba_source(workload):
    """The loops a user of Numba writes: their lines, and the expression that makes the output where there is one."""
    names = list(workload["inputs"])
    given = workload.get("numba")
    if given is not None:
        return names, given["loops"].strip("\n").splitlines(), given.get("out")
    if any(spec.get("shape", ["n"]) != ["n"] for spec in workload["inputs"].values()):
        raise Unable("no loops are written down for it")
    before, result = statements(workload["formula"])
    body = [f"{name} = {name}_[i]" for name in names] + before + [f"out[i] = {result}"]
    lines = ["for i in nb.prange(out.size):"] + [f"    {line}" for line in body]
    return [f"{name}_" for name in names], lines, f"np.empty_like({names[0]}_)"


def numba_functions(workload):
    """Two compiled functions: with an output of its own, and into one it is given (none where there is no output)."""
    import numba

    scope = {"nb": numba, "np": np, "math": math}
    scope |= {name: getattr(math, name) for name in "exp log sin cos tanh sqrt".split()}
    scope["arcsin"] = math.asin
    scope["where"] = numba.njit(lambda c, a, b: a if c else b)
    names, lines, out = numba_source(workload)
    body = "".join(f"    {line}\n" for line in lines)
    if out is None:
        exec(f"def fresh({', '.join(names)}):\n{body}", scope)
    else:
        exec(f"def fresh({', '.join(names)}):\n    out = {out}\n{body}    return out\n", scope)
        exec(f"def reused({', '.join(names)}, out):\n{body}", scope)
    compiled = lambda name: numba.njit(parallel=True, fastmath=True)(scope[name]) if name in scope else None
    return compiled("fresh"), compiled("reused")


def numba_compiled(server):
    import numba

    numba.set_num_threads(server.threads)
    key = (server.toml, server.dtype)
    # One compilation serves all sizes.
    if server.numba_key != key:
        server.numba_key, server.numba_functions = key, numba_functions(server.workload)
    return server.numba_functions


def numba_peer(server):
    fresh, _ = numba_compiled(server)
    arrays = list(server.inputs.values())
    return lambda: fresh(*arrays), None


def numba_out_peer(server):
    _, reused = numba_compiled(server)
    if reused is None:
        raise Unable("its result is a number")
    arrays = list(server.inputs.values())
    out = np.empty_like(server.expected)

    def f():
        reused(*arrays, out)
        return out

    return f, None


def torch_peer(server):
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise Unable("torch.compile wants a C++ compiler and finds none")
    import torch

    torch.set_num_threads(server.threads)
    # Of the smallest size, the seconds of compiling are shown: nothing may come from an earlier run.
    torch.compiler.config.force_disable_caches = server.n <= 1000
    reduced = lambda f: lambda x, axis=None, keepdims=False: f(x) if axis is None else f(x, dim=axis, keepdim=keepdims)
    names = names_of(
        torch, sum=reduced(torch.sum), max=reduced(torch.amax), mean=reduced(torch.mean), torch=torch
    )
    f = as_function(server.workload, names, server.workload.get("torch"))
    torch._dynamo.reset()
    compiled = torch.compile(f, dynamic=False)
    arrays = {name: torch.from_numpy(a) for name, a in server.inputs.items()}
    return lambda: compiled(**arrays), None


# A contestant is named by its package, and by what comes after an underscore where there are several.
PEERS = {
    "numpy": numpy_peer,
    "numexpr": numexpr_peer,
    "jax": jax_peer,
    "torch": torch_peer,
    "numba": numba_peer,
    "numba_out": numba_out_peer,
}


def package(peer):
    return peer.split("_")[0]


def seconds_of(f, times=1):
    start = time.perf_counter()
    for _ in range(times):
        f()
    return (time.perf_counter() - start) / times


def check(got, expected):
    tolerance = {"float32": 1e-3, "float64": 1e-9}.get(expected.dtype.name, 0)
    # Differences in place: of ten million elements, temporaries take longer than the arithmetic.
    difference = np.atleast_1d(np.subtract(got, expected, dtype=np.float64))
    np.abs(difference, out=difference)
    if np.shape(got) != expected.shape or not (difference <= tolerance * (1 + np.abs(expected))).all():
        raise Unable("its result differs from NumPy's")


class Server:
    def __init__(self, threads):
        self.threads = threads
        self.toml = self.workload = self.inputs = self.expected = None
        self.dtype, self.n = None, 0
        self.ready = {}
        self.numba_key = self.numba_functions = None

    def hello(self):
        found = [f"contestants={','.join(PEERS)}", f"python={sys.version.split()[0]}"]
        # Asked of the packages' records, not by importing them: some take seconds.
        for name in dict.fromkeys(package(peer) for peer in PEERS):
            try:
                found.append(f"{name}={importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                pass
        return f"{PROTOCOL} " + " ".join(found)

    def make(self, toml, dtype, n, folder):
        if toml != self.toml:
            self.workload = tomllib.loads(pathlib.Path(toml).read_text())
        self.toml, self.dtype, self.n, self.ready = toml, dtype, int(n), {}
        self.inputs = make_inputs(self.workload, np.dtype(dtype), self.n)
        f, _ = numpy_peer(self)
        self.expected = np.asarray(f())
        for key, value in {**self.inputs, "expected": self.expected}.items():
            np.save(pathlib.Path(folder) / f"{key}.npy", value)
        return "ok " + " ".join(self.inputs)

    def prepare(self, name):
        if importlib.util.find_spec(package(name)) is None:
            return "none not installed"
        try:
            f, compiling = PEERS[name](self)
            first = [None]

            def call():
                first[0] = f()

            compiling_is = seconds_of(call)
            # A peer that computes something else is no peer.
            check(np.asarray(first[0]), self.expected)
        except Unable as why:
            return f"none {why}"
        except Exception as fault:
            text = " ".join(str(fault).split())[:200]
            return f"none {type(fault).__name__}: {text}"
        one = min(seconds_of(f) for _ in range(2))
        one = one if one > 2e-2 else seconds_of(f, max(1, int(2e-3 / max(one, 1e-7))))
        self.ready[name] = f, max(1, int(SAMPLE_SECONDS / max(one, 1e-9)))
        return f"ok {1e9 * (compiling_is if compiling is None else compiling):.0f}"

    def run(self, name, seconds):
        f, bundle = self.ready[name]
        samples, end = [], time.perf_counter() + float(seconds)
        while not samples or time.perf_counter() < end:
            samples.append(seconds_of(f, bundle))
        return "ns " + " ".join(f"{1e9 * s:.1f}" for s in samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    np.seterr(all="ignore")
    warnings.filterwarnings("ignore")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    # What packages print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(args.threads)
    commands = {"hello": server.hello, "make": server.make, "prepare": server.prepare, "run": server.run}
    for line in sys.stdin:
        words = line.rstrip("\n").split("\t")
        if words == ["quit"]:
            break
        try:
            answer = commands[words[0]](*words[1:])
        except Exception as fault:
            answer = f"error {type(fault).__name__}: {fault}".replace("\n", " ")
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
