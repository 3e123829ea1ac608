"""The stubs say what is there: names, parameters, properties, and nothing else."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

import pytest

import pyevent

PACKAGE = Path(pyevent.__file__).parent
SOURCES = Path(__file__).parent.parent / "src/pyevent/_native"
NATIVE = PACKAGE / "_native"
STUBS = sorted(
    ".".join(path.relative_to(NATIVE).with_suffix("").parts) for path in NATIVE.glob("**/*.pyi")
)
SAMPLE = Path(__file__).parent / "typing/both_styles.py"
SPECIAL = {"__init__", "__enter__", "__exit__", "__del__", "__len__", "__bool__", "__bytes__"}
SPECIAL |= {"__iter__", "__next__", "__getitem__", "__contains__"}


def stub_of(module):
    return ast.parse((NATIVE / f"{module.replace('.', '/')}.pyi").read_text())


def source_of(module):
    path = SOURCES / f"{module.replace('.', '/')}.pyx"
    if not path.exists():
        pytest.skip("not in a source tree")
    return path.read_text()


def functions(body):
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def decorators(node):
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def parameters_of(arguments, skip=0):
    """As inspect.signature tells them: [(name, kind, default as text or None)]."""
    plain = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    found = [(a.arg, "plain", d) for a, d in zip(plain, defaults, strict=True)][skip:]
    if arguments.vararg:
        found.append((arguments.vararg.arg, "*", None))
    found += [
        (a.arg, "keyword", d)
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return [(name, kind, d and default_of(ast.unparse(d))) for name, kind, d in found]


def default_of(text):
    """`1` of `1` and of `EVBUFFER_EOL_CRLF`."""
    value = eval(text, vars(pyevent.constants))
    return repr(int(value) if isinstance(value, Enum) else value)


def parameters_at_run_time(function, skip=0):
    kinds = {"VAR_POSITIONAL": "*", "KEYWORD_ONLY": "keyword"}
    found = []
    for p in inspect.signature(function).parameters.values():
        default = None if p.default is p.empty else repr(p.default)
        found.append((p.name, kinds.get(p.kind.name, "plain"), default))
    return found[skip:]


def parameters_in_source(module, class_name, name):
    """Of a method of a compiled class, where Python cannot tell; None: there is no such method."""
    source = source_of(module)
    body = re.split(rf"^cdef class {class_name}\b.*\n", source, flags=re.MULTILINE)[1]
    body = re.split(r"^\S", body, maxsplit=1, flags=re.MULTILINE)[0]
    method = re.search(rf"^    def {name}\((.*?)\):\n", body, re.DOTALL | re.MULTILINE)
    if method is None:
        alias = re.search(rf"^    {name} = (\w+)$", body, re.MULTILINE)
        return parameters_in_source(module, class_name, alias.group(1)) if alias else None
    text = method.group(1).replace(" not None", "")
    text = re.sub(r"(^|,\s*)(?:unsigned )?\w+ (?=\w)", r"\1", text)  # the types
    return parameters_of(ast.parse(f"def f({text}): pass").body[0].args)


def classes():
    for module in STUBS:
        for node in stub_of(module).body:
            if isinstance(node, ast.ClassDef):
                runtime = getattr(importlib.import_module(f"pyevent._native.{module}"), node.name)
                yield pytest.param(node, runtime, module, id=node.name)


CLASSES = list(classes())
BOUND = (classmethod, staticmethod, types.ClassMethodDescriptorType)


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_every_compiled_module_has_a_stub():
    modules = [path.relative_to(SOURCES).with_suffix(".pyi") for path in SOURCES.glob("**/*.pyx")]
    assert {".".join(path.with_suffix("").parts) for path in modules} <= set(STUBS)


@pytest.mark.parametrize("module", STUBS)
def test_functions_of_a_module_are_those_of_its_stub(module):
    runtime = importlib.import_module(f"pyevent._native.{module}")
    stubs = functions(stub_of(module).body)
    own = {
        name
        for name, value in vars(runtime).items()
        if callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", None) == runtime.__name__
    }
    assert public(own) - INTERNAL == public(stubs)
    for name, stub in stubs.items():
        assert parameters_of(stub.args) == parameters_at_run_time(getattr(runtime, name)), name


INTERNAL = {"run_soon", "run_finalizer"}  # seen in a log line, not for use


@pytest.mark.parametrize(("stub", "runtime", "module"), CLASSES)
def test_names_of_a_class_are_those_of_its_stub(stub, runtime, module):
    there = public(vars(runtime))
    values = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert there == public(functions(stub.body)) | values
    for name in functions(stub.body):
        assert hasattr(runtime, name), name
        assert not name.startswith("_") or name in SPECIAL, name


@pytest.mark.parametrize(("stub", "runtime", "module"), CLASSES)
def test_methods_have_the_parameters_of_the_stub(stub, runtime, module):
    for node in stub.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        value = inspect.getattr_static(runtime, node.name)
        if decorators(node) & {"property", f"{node.name}.setter"}:
            assert not callable(value), f"{node.name} is no property"
        else:
            bound = isinstance(value, BOUND)
            assert bound == bool(decorators(node) & {"classmethod", "staticmethod"}), node.name
            skip = "staticmethod" not in decorators(node)
            expected = parameters_of(node.args, skip=skip)
            try:
                method = getattr(runtime, node.name)
                actual = parameters_at_run_time(method, skip=skip and not bound)
            except ValueError:  # compiled without a signature
                actual = parameters_in_source(module, stub.name, node.name)[skip:]
            assert actual == expected, node.name


@pytest.mark.parametrize(("stub", "runtime", "module"), CLASSES)
def test_constructor_has_the_parameters_of_the_stub(stub, runtime, module):
    """Python cannot tell those of a compiled class: they are taken from its source."""
    init = functions(stub.body).get("__init__")
    expected = None if init is None else parameters_of(init.args)
    assert parameters_in_source(module, stub.name, "__init__") == expected


@pytest.mark.parametrize(("stub", "runtime", "module"), CLASSES)
def test_settable_properties_are_those_with_a_setter(stub, runtime, module):
    settable = {
        node.name
        for node in stub.body
        if isinstance(node, ast.FunctionDef) and f"{node.name}.setter" in decorators(node)
    }
    blank = runtime.__new__(runtime)
    for name, node in functions(stub.body).items():
        if not decorators(node) & {"property", f"{name}.setter"}:
            continue
        try:
            setattr(blank, name, None)
        except AttributeError:
            assert name not in settable, name
        except Exception:  # None is no value for it, or the object is closed
            assert name in settable, name
        else:
            assert name in settable, name


def test_package_stub_names_what_the_package_has():
    names = set()
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    names |= set(importlib.import_module(node.module).__all__)
                else:
                    assert alias.asname == alias.name  # or a checker does not pass it on
                    names.add(alias.name)
        else:
            names.add(node.target.id)
    assert names == set(pyevent.__all__)
    assert len(pyevent.__all__) == len(names)


@pytest.mark.parametrize("module", ["constants", "libevent"])
def test_public_names_of_a_module_are_all_or_imported(module):
    """A checker takes what has no underscore and is no import: the same as __all__."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
    assert public(names) == set(importlib.import_module(f"pyevent.{module}").__all__)


def test_sample_of_both_styles_runs():
    command = [sys.executable, str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[b'classes'] [b'flat names'] [b'line']\n", done.stderr


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed; `make lint` has it")
def test_sample_of_both_styles_passes_mypy(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir"]
    command += [str(tmp_path), str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("", 0)
