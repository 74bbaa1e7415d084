import argparse
import json

from qtx_ros.bench import tick


def test_three_ways_to_compute_a_tick_choose_the_same_bins(tmp_path, capsys):
    config = tmp_path / "small.yaml"
    config.write_text("model: {channels: [4, 8], grid: 1, width: 16, heads: 2, decoder_layers: 1, text_width: 8}\n")
    parser = argparse.ArgumentParser()
    tick.add_arguments(parser)
    assert tick.main(parser.parse_args(["--config", str(config), "--ticks", "5"])) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(summary["ms"]) == ["torch eager", "ONNX step by step", "ONNX one graph"]
    assert all(way["other_bins"] == 0 and way["p50"] > 0 for way in summary["ms"].values())
