"""The package as a whole: what imports what, and that package.xml, CMake, launch files and messages agree."""

import ast
import re
import runpy
import stat
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from qtx_ros import __version__
from qtx_ros.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "qtx_ros"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports(module, everywhere=True):
    """Modules that `module` imports; with `everywhere` also those imported inside functions."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if everywhere else when_imported(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {node.module}
    return found


def when_imported(tree):
    """Nodes that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
            yield from when_imported(node)


def area(module):
    """`qtx_ros.deploy.policy` → `deploy`, `qtx_ros.spec` → `spec`."""
    return (module.split(".") + [""])[1]


def reaches(module, seen=None):
    """All modules of the package that importing `module` imports."""
    seen = set() if seen is None else seen
    for name in imports(module, everywhere=False) & MODULES.keys() - {module}:
        if name not in seen:
            seen.add(name)
            reaches(name, seen)
    return seen


def external(module, everywhere=True):
    return {name.split(".")[0] for name in imports(module, everywhere)}


def outside(*areas):
    return [module for module in sorted(MODULES) if area(module) not in areas]


def test_torch_stays_with_model_learn_and_bench():
    for module in outside("model", "learn", "bench"):
        assert "torch" not in external(module), f"{module} imports torch"
        through = [other for other in reaches(module) if "torch" in external(other, everywhere=False)]
        assert not through, f"importing {module} imports torch through {through}"


def test_ros_stays_with_ros_nodes_and_bench():
    for module in outside("ros", "nodes", "bench"):
        assert not external(module) & {"rclpy", "cyclonedds"}, module
        assert not {name for name in imports(module) if area(name) == "ros"}, f"{module} imports qtx_ros.ros"
        assert not {name for name in reaches(module) if area(name) == "ros"}, f"{module} reaches qtx_ros.ros"


def test_no_import_cycles():
    assert not [module for module in MODULES if module in reaches(module)]


def test_nothing_unpickles():
    assert not [m for m in MODULES if external(m) & {"pickle", "dill", "joblib", "cloudpickle"}]


def test_the_rules_above_see_imports():
    assert "qtx_ros.deploy.bundle" in reaches("qtx_ros.deploy.policy")
    assert "onnxruntime" in external("qtx_ros.deploy.session")
    assert any("torch" in external(m) for m in MODULES if area(m) == "model")
    assert "qtx_ros.ros" in imports("qtx_ros.nodes.policy_node")


def test_every_verb_has_its_module():
    missing = {module for module, _ in VERBS.values() if module not in MODULES}
    assert not missing


# --- the colcon package ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest():
    return ElementTree.parse(ROOT / "package.xml").getroot()


def test_package_xml_is_what_colcon_and_rosdep_need(manifest):
    assert manifest.get("format") == "3"
    assert manifest.findtext("name") == "qtx_ros"
    assert manifest.findtext("version") == __version__
    assert manifest.findtext("license") == "Apache-2.0"
    assert manifest.findtext("member_of_group") == "rosidl_interface_packages"
    assert manifest.findtext("export/build_type") == "ament_cmake"
    assert re.fullmatch(r"[-\w.]+@[-\w.]+\.(com|org|net|io|dev)", manifest.find("maintainer").get("email"))


def test_interfaces_depend_on_what_package_xml_names(manifest):
    named = {element.text for tag in ("depend", "exec_depend") for element in manifest.findall(tag)}
    used = {
        match.group(1)
        for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]
        for match in re.finditer(r"^(\w+)/\w+", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert used <= {element.text for element in manifest.findall("depend")}
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for package in used:
        assert f"find_package({package} REQUIRED)" in cmake
    by_name = {
        match.group(1)
        for module in MODULES
        if area(module) in ("nodes", "data", "bags")
        for match in re.finditer(r'"(\w+)/(?:msg|srv)/\w+"', MODULES[module].read_text(encoding="utf-8"))
    }
    assert by_name - {"qtx_ros"} <= named


def test_cmake_installs_every_program_and_folder():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for script in (ROOT / "scripts").iterdir():
        assert f"scripts/{script.name}" in cmake
        assert script.stat().st_mode & stat.S_IXUSR, f"{script} is not executable"
        assert script.read_text().startswith("#!/usr/bin/env python3\n")
    for folder in ("config", "launch", "models"):
        assert re.search(rf"install\(DIRECTORY [^)]*\b{folder}\b", cmake)


def test_every_program_runs_a_verb_that_exists():
    for script in (ROOT / "scripts").iterdir():
        verb = re.search(r'main\(\["(\w+)"', script.read_text())
        assert script.name == "qtx" or verb.group(1) in VERBS


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").iterdir()), ids=lambda path: path.name)
def test_a_program_imported_by_its_worker_processes_does_nothing(script):
    runpy.run_path(str(script), run_name="__mp_main__")  # what multiprocessing's spawn does


def test_launch_files_start_programs_that_exist():
    programs = {script.name for script in (ROOT / "scripts").iterdir()}
    for path in (ROOT / "launch").glob("*.launch.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        started = [
            key.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "description"
            for key in node.args[0].keys
        ]
        assert started and set(started) <= programs, path


def test_supported_pythons_can_read_every_file():
    assert sys.version_info >= (3, 10)
    for path in [*MODULES.values(), *(ROOT / "launch").glob("*.py"), *(ROOT / "scripts").iterdir()]:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 10))
