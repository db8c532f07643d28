"""The rules that hold the code together, read from the source: layers, sizes, nothing unsafe, no machine's paths."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ragkit"
SOURCES = sorted(PACKAGE.rglob("*.py"))

CONTRACTS = {"schema", "errors", "identity", "budget", "protocols", "plugins", "config", "inference"}
LEVELS: list[set[str]] = [
    CONTRACTS,
    {"models", "loaders", "index", "scoring"},
    {"chunkers", "enrichers", "retrievers", "rerankers", "selectors", "answering", "cachecraft"},
    {"pipeline", "controllers", "ingest", "parts", "corpus", "compatibility", "enriching"},
    {"eval"},
    {"train"},
    {"cli"},
]
"""Each level may import those before it. Within a level, contracts and the pipeline's modules may import each other;
families never do."""
TOGETHER = LEVELS[0] | LEVELS[3]

HEAVY = {
    *("torch", "transformers", "sentence_transformers", "faiss", "chromadb", "openai", "docx", "pypdfium2", "gguf"),
    *("accelerate", "lxml", "huggingface_hub"),
}
"""Tantivy and numpy are not among them: the index needs both on every run."""
LIGHT_FAMILIES = {*TOGETHER, "answering", "cli", "testing"}
"""What `import ragkit` and an index run over an unchanged folder load: no heavy library may come with it."""

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "__import__", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNSAFE_FLAGS = {"allow_pickle", "trust_remote_code"}
TABLES = {"ragkit", "ragkit.plugins", "ragkit.eval.peers.named", "ragkit.eval.datasets.formats"}
"""These import modules by name, each from a table written in its own file; data may choose a row, never a name."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def family(module: str) -> str:
    """Return the part of `ragkit` that a module belongs to; the package itself is the door."""
    return module.split(".")[1] if "." in module else "door"


def imported(node: ast.AST) -> list[str]:
    """Return the full names that one import statement brings in."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            assert node.level == 0, "imports are absolute"
            return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def imports(path: Path) -> set[str]:
    """Return everything a module imports, anywhere in it."""
    return {name for node in ast.walk(tree(path)) for name in imported(node)}


def top_imports(path: Path) -> set[str]:
    """Return what importing a module imports at once: not inside functions, not for type checkers only."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree(path).body)
    while waiting:
        node = waiting.pop()
        found.update(imported(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += [*node.body, *node.orelse]
        elif isinstance(node, (ast.Try, ast.With, ast.ClassDef)):
            waiting += node.body
    return found


def level(name: str) -> int:
    for number, members in enumerate(LEVELS):
        if name in members:
            return number
    raise AssertionError(f"the family {name!r} has no level in LEVELS")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_down_the_levels(path: Path):
    own = family(module_name(path))
    if own == "door":
        return
    others = {family(name) for name in imports(path) if name.startswith("ragkit.")} - {own}
    if own == "testing":
        assert others <= CONTRACTS, "the conformance kits know contracts only"
        return
    assert "testing" not in others
    for other in others:
        same = level(other) == level(own) and {own, other} <= TOGETHER
        assert level(other) < level(own) or same, f"{own} imports {other}"


def heavy_modules() -> set[str]:
    """Return the modules of ragkit whose import loads a heavy library, directly or through another one."""
    tops = {module_name(path): top_imports(path) for path in SOURCES}
    heavy = {module for module, names in tops.items() if {name.split(".")[0] for name in names} & HEAVY}
    while grown := {module for module, names in tops.items() if names & heavy} - heavy:
        heavy |= grown
    return heavy


def test_heavy_libraries_are_imported_only_where_they_are_used():
    entry = {module_name(path) for path in SOURCES if path.name == "__init__.py"}
    entry |= {module_name(path) for path in SOURCES if family(module_name(path)) in LIGHT_FAMILIES}
    assert not heavy_modules() & entry


def test_importing_the_package_and_its_pipeline_loads_no_heavy_library():
    code = "import sys, ragkit, ragkit.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


def test_files_stay_small():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path.name: count for path, count in lines.items() if count > 450} == {}
    assert statistics.median(lines.values()) <= 120


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_functions_stay_short():
    lengths = {
        f"{module_name(path)}.{node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > 70} == {}
    assert statistics.median(lengths.values()) <= 12


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_everything_public_is_documented(path: Path):
    assert ast.get_docstring(tree(path))
    bare = [node.name for node in public(tree(path).body) if not ast.get_docstring(node)]
    assert bare == []


def unsafe(module: ast.AST) -> list[str]:
    """Return what in `module` could run code that came as data."""
    found = [name for node in ast.walk(module) for name in imported(node) if name.split(".")[0] in UNSAFE_MODULES]
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            found += [ast.unparse(node.func)] if ast.unparse(node.func) in UNSAFE_CALLS else []
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                found += [keyword.arg] if keyword.arg in UNSAFE_FLAGS and not off else []
    return found


def named_imports(module: ast.AST) -> list[str]:
    """Return the calls that import a module whose name is not written there."""
    return [
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and not isinstance(node.args[0], ast.Constant)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_unsafe_is_loaded(path: Path):
    assert unsafe(tree(path)) == []
    if module_name(path) not in TABLES:
        assert named_imports(tree(path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "torch.load(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path, allow_pickle=flag)",
        "load(name, trust_remote_code=True)",
    ],
)
def test_the_check_for_unsafe_code_sees_it(code: str):
    assert unsafe(ast.parse(code))
    assert not unsafe(ast.parse("np.load(path, allow_pickle=False); yaml.safe_load(text); model.eval()"))


def committed() -> list[Path]:
    """Return the files that are, or are about to be, part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


# Written in pieces, so that this file does not find itself.
_OF_ONE_MACHINE = re.compile(
    r"(?<![\w./-])/(?:ro"
    r"ot|wo"
    r"rk|op"
    r"t|ho"
    r"me)/\w|python"
    r"hosted|py"
    r"pi\.(?:org|tuna)|download\.py"
    r"torch",
)


def test_no_file_names_a_path_of_one_machine_or_the_host_of_a_registry():
    found = {}
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        hits = _OF_ONE_MACHINE.findall(text)
        if hits:
            found[str(path.relative_to(ROOT))] = hits
    assert found == {}


def test_the_change_log_and_the_constraints_fit_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    )
    assert pinned["torch"] == "2.13.0"
    assert not [name for name in pinned if name.startswith(("nvidia", "triton", "cuda"))]
    assert not [version for version in pinned.values() if "+" in version or "/" in version]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert names <= set(pinned), "run: make constraints"
