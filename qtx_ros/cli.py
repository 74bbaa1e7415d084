"""`qtx VERB`: one table of verbs; only the chosen verb's module is imported."""

from __future__ import annotations

import argparse
import importlib
import sys

from qtx_ros import __version__
from qtx_ros.errors import QtxError

VERBS = {
    "sim": ("qtx_ros.nodes.sim", "run the simulated robot as a ROS 2 node"),
    "record": ("qtx_ros.nodes.recorder", "run the recorder node: one bag per episode"),
    "teleop": ("qtx_ros.nodes.teleop", "drive a robot by keyboard, joystick or the scripted expert"),
    "collect": ("qtx_ros.nodes.collect", "record labelled episodes of the simulated robot"),
    "recover": ("qtx_ros.bags.recover", "make a readable bag of a damaged one, or of a recording that was cut off"),
    "label": ("qtx_ros.bags.label", "say afterwards how a recorded episode went, without touching the recording"),
    "convert": ("qtx_ros.data.convert", "turn bags into a training set"),
    "data": ("qtx_ros.data.tools", "look at training sets, merge, split and verify them"),
    "train": ("qtx_ros.learn.train", "train a policy offline from a training set"),
    "export": ("qtx_ros.learn.export", "export a trained policy to an ONNX bundle"),
    "evaluate": ("qtx_ros.sim.evaluate", "measure a bundle's success on the simulated robot, in process"),
    "study": ("qtx_ros.study", "compare methods over training seeds, on the simulated arm"),
    "inspect": ("qtx_ros.inspect", "replay a bag through a bundle: what would the policy have done?"),
    "policy": ("qtx_ros.nodes.policy", "run the policy node: frames and joint states in, joint commands out"),
    "watchdog": ("qtx_ros.nodes.watchdog", "hold the robot when the policy's process dies or hangs"),
    "demo": ("qtx_ros.nodes.demo", "simulated robot, policy and recorder together over ROS 2 topics"),
    "bench": ("qtx_ros.bench", "measure speed: tick, wire, convert, loader, train"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit status is 0, 1 for a problem stated in one sentence, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    argv, ros_args = _split_ros_args(argv)
    verb = argv[0] if argv and argv[0] in VERBS else None
    try:
        arguments = _parser(verb).parse_args(argv)
        arguments.ros_args = ros_args
        return importlib.import_module(VERBS[verb][0]).main(arguments) or 0
    except QtxError as error:
        return _refuse(verb, str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("qtx_ros"):
            raise
        return _refuse(verb, f"{error.name!r} is not installed: {_remedy(error.name)}")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qtx", description="Offline reinforcement learning for ROS 2 robots.")
    parser.add_argument("--version", action="version", version=f"qtx_ros {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, text) in VERBS.items():
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == verb:
            importlib.import_module(module).add_arguments(sub)
    return parser


def _refuse(verb: str | None, sentence: str) -> int:
    print(f"qtx {verb}: {sentence}", file=sys.stderr)
    return 1


def _remedy(module: str | None) -> str:
    extras = {"torch": "train", "safetensors": "train", "mujoco": "sim", "metaworld": "sim"}
    extras |= {"pyarrow": "lerobot", "av": "lerobot"}
    extra = extras.get(str(module).split(".")[0])
    return f"pip install 'qtx_ros[{extra}]'" if extra else f"pip install {module}"


def _split_ros_args(argv: list[str]) -> tuple[list[str], list[str]]:
    """Take `--ros-args … [--]` out of the command line, as rclpy does."""
    if "--ros-args" not in argv:
        return argv, []
    start = argv.index("--ros-args")
    end = argv.index("--", start) if "--" in argv[start:] else len(argv)
    return argv[:start] + argv[end + 1 :], argv[start:end]


if __name__ == "__main__":
    sys.exit(main())
