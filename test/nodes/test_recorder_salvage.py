"""What an earlier recorder left is salvaged where there is room, and never at the cost of an episode."""

import logging
import os
import shutil

from recorder_process import Process, robot_on
from small_disk import fill, quiet_folder

from qtx_ros.bags.reader import open_bag
from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.bench.bags import START_NS, TYPES, build, definition
from qtx_ros.nodes.recorder_salvage import Salvage

STRING = "std_msgs/msg/String"
MIB = 1 << 20


def left_behind(folder, size):
    """A recording of about so many MiB whose recorder died."""
    writer = BagWriter(folder, "dead")
    writer.add_topic("/text", STRING, *definition(STRING), [qos_profile()])
    text = bytes(TYPES.serialize_cdr(build(STRING, {"data": "x" * MIB}), STRING))
    for i in range(size):
        writer.write("/text", START_NS + i, text)
    writer.flush()
    writer.release()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_waits_for_the_end_of_the_episode(tmp_path, wait_until):
    left_behind(tmp_path, 3)
    asked, running = [], [True]
    salvage = Salvage(tmp_path, 0, lambda: asked.append(None) or running[0], logging.getLogger())
    salvage.start()
    wait_until(lambda: len(asked) >= 3)
    assert "dead" not in names(tmp_path)
    running[0] = False
    salvage.join(30)
    assert names(tmp_path) == ["dead"]
    with open_bag(tmp_path / "dead") as bag:
        assert bag.check() == 3


def test_it_gives_back_what_it_took_when_the_episode_needs_it(wait_until, caplog):
    with quiet_folder() as folder:
        left_behind(folder, 3)
        spare = shutil.disk_usage(folder).free - 23 * MIB
        asked = []
        salvage = Salvage(folder, spare, lambda: asked.append(None) or len(asked) > 6, logging.getLogger())
        salvage.start()
        wait_until(lambda: len(asked) > 7)
        assert ".dead.recovering" in names(folder)
        fill(folder / "episode", 40 * MIB)
        salvage.join(30)
        assert not salvage.is_alive() and names(folder) == [".dead", "episode"]
        assert "recovering an unfinished recording needs " in caplog.text and "make room" in caplog.text


def test_a_recorder_without_room_for_it_says_so_and_records():
    with robot_on(65) as robot, quiet_folder() as folder:
        bags = folder / "bags"
        bags.mkdir()
        left_behind(bags, 3)
        room = shutil.disk_usage(folder).free // MIB
        process = Process(bags, "--ros-args", "-p", f"min_free_mib:={room - 40}")
        try:
            robot.wait(robot.everybody_listens)
            assert robot.call("start").success
            robot.play(0.3)
            stopped = robot.call("stop")
            assert stopped.success and stopped.problems == []
        finally:
            process.child.terminate()
            log = process.child.communicate(timeout=20)[0]
        assert f"recovering {bags / '.dead'} needs 3 MiB and {2 * (room - 40)} MiB to spare" in log
        assert names(bags) == [".dead", os.path.basename(stopped.path)]
