"""The peers of the benchmarks, behind a line protocol, so that a harness can run them and itself by turns.

usage: peers.py WORKLOADS_DIR [--threads N]

Reads commands from standard input and answers each with one line on standard output:

hello                         versions: NAME=VERSION ...
load WORKLOAD DTYPE N DIR     makes inputs, writes them and NumPy's result into DIR as NAME.npy and expected.npy
                              ok NAME ...
run PEER SECONDS              times PEER on what is loaded, over and over for SECONDS
                              ms BEST, or none REASON where the peer cannot do it
quit
any fault                     error MESSAGE
"""

import argparse
import importlib
import math
import pathlib
import sys
import time
import tomllib

import numpy as np

PEERS = ["numpy", "numexpr", "jax", "numba", "torch"]


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


def as_function(workload, namespace):
    """The formula as a Python function of its inputs."""
    before, result = statements(workload["formula"])
    body = "".join(f"    {line}\n" for line in before)
    source = f"def f({', '.join(workload['inputs'])}):\n{body}    return {result}\n"
    scope = dict(namespace)
    exec(source, scope)
    return scope["f"]


FUNCTIONS = "exp log sin cos tanh sqrt arcsin where".split()


def names_of(module, **more):
    return {name: getattr(module, name) for name in FUNCTIONS} | more


def numpy_peer(workload, inputs, threads):
    f = as_function(workload, names_of(np, sum=np.sum, max=np.max, mean=np.mean))
    return lambda: f(**inputs)


def numexpr_peer(workload, inputs, threads):
    if not workload.get("numexpr", False):
        raise NotImplementedError("numexpr cannot say this formula")
    import numexpr

    numexpr.set_num_threads(threads)
    _, formula = statements(workload["formula"])
    return lambda: numexpr.evaluate(formula, local_dict=inputs)


def jax_peer(workload, inputs, threads):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    f = jax.jit(as_function(workload, names_of(jnp, sum=jnp.sum, max=jnp.max, mean=jnp.mean)))
    arrays = {name: jnp.asarray(a) for name, a in inputs.items()}
    return lambda: f(**arrays).block_until_ready()


def numba_peer(workload, inputs, threads):
    import numba

    numba.set_num_threads(threads)
    names = list(inputs)
    scope = {"nb": numba, "np": np, "math": math}
    source = workload.get("numba")
    if source is None:
        if any(spec.get("shape", ["n"]) != ["n"] for spec in workload["inputs"].values()):
            raise NotImplementedError("no loops are written down for it")
        before, result = statements(workload["formula"])
        body = [f"{name} = {name}_[i]" for name in names] + before + [f"out[i] = {result}"]
        source = f"def f({', '.join(name + '_' for name in names)}):\n"
        source += f"    out = np.empty_like({names[0]}_)\n    for i in nb.prange(out.size):\n"
        source += "".join(f"        {line}\n" for line in body) + "    return out\n"
        scope |= {name: getattr(math, name) for name in "exp log sin cos tanh sqrt".split()}
        scope["arcsin"] = math.asin
        scope["where"] = numba.njit(lambda c, a, b: a if c else b)
    exec(source, scope)
    f = numba.njit(parallel=True, fastmath=True)(scope["f"])
    arrays = list(inputs.values())
    return lambda: f(*arrays)


def torch_peer(workload, inputs, threads):
    import torch

    torch.set_num_threads(threads)
    reduced = lambda f: lambda x, axis=None, keepdims=False: f(x) if axis is None else f(x, dim=axis, keepdim=keepdims)
    f = as_function(workload, names_of(torch, sum=reduced(torch.sum), max=reduced(torch.amax), mean=reduced(torch.mean)))
    torch._dynamo.reset()
    compiled = torch.compile(f, dynamic=False)
    arrays = {name: torch.from_numpy(a) for name, a in inputs.items()}
    return lambda: compiled(**arrays)


MAKERS = {"numpy": numpy_peer, "numexpr": numexpr_peer, "jax": jax_peer, "numba": numba_peer, "torch": torch_peer}


def best(f, seconds):
    """The fastest of many runs, in milliseconds; short runs are timed in bundles."""
    start = time.perf_counter()
    f()
    one = time.perf_counter() - start
    bundle = max(1, int(2e-3 / max(one, 1e-9)))
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        for _ in range(bundle):
            f()
        times.append((time.perf_counter() - start) / bundle)
    return min(times) * 1e3


class Server:
    def __init__(self, folder, threads):
        self.folder = folder
        self.threads = threads
        self.loaded = None
        self.expected = None
        self.ready = {}

    def hello(self):
        found = [f"python={sys.version.split()[0]}"]
        for name in PEERS:
            try:
                found.append(f"{name}={importlib.import_module(name).__version__}")
            except ImportError:
                pass
        return " ".join(found)

    def load(self, name, dtype, n, folder):
        with open(self.folder / f"{name}.toml", "rb") as file:
            workload = tomllib.load(file)
        inputs = make_inputs(workload, np.dtype(dtype), int(n))
        self.loaded, self.ready = (workload, inputs), {}
        self.expected = np.asarray(numpy_peer(workload, inputs, self.threads)())
        for key, value in {**inputs, "expected": self.expected}.items():
            np.save(pathlib.Path(folder) / f"{key}.npy", value)
        return "ok " + " ".join(inputs)

    def run(self, peer, seconds):
        if peer not in self.ready:
            try:
                f = MAKERS[peer](*self.loaded, self.threads)
                # A peer that computes something else is no peer.
                got = np.asarray(f())
                tolerance = {"float32": 1e-3, "float64": 1e-9}.get(self.expected.dtype.name, 0)
                if not np.allclose(got, self.expected, rtol=tolerance, atol=tolerance):
                    raise NotImplementedError("its result differs from NumPy's")
                self.ready[peer] = f
            except ImportError:
                self.ready[peer] = "not installed"
            except NotImplementedError as why:
                self.ready[peer] = str(why)
        f = self.ready[peer]
        return f"none {f}" if isinstance(f, str) else f"ms {best(f, float(seconds)):.6f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    np.seterr(all="ignore")
    server = Server(args.workloads, args.threads)
    commands = {"hello": server.hello, "load": server.load, "run": server.run}
    for line in sys.stdin:
        words = line.strip().split(maxsplit=4)
        if words == ["quit"]:
            break
        try:
            answer = commands[words[0]](*words[1:])
        except Exception as fault:
            answer = f"error {type(fault).__name__}: {fault}".replace("\n", " ")
        print(answer, flush=True)


if __name__ == "__main__":
    main()
