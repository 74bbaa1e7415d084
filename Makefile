# make demo: a trained policy drives a simulated arm over ROS 2 topics.   make test: the whole test suite.
ROOT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
export PYTHON ?=
# The two commands use this project's own environment and the embedded ROS 2 participant, whatever shell they run in.
CLEAN := env -u PYTHONPATH -u PYTHONHOME PYTHONNOUSERSITE=1 QTX_ROS_BACKEND=dds

.PHONY: demo test lint clean

demo:
	@$(CLEAN) bash "$(ROOT)tools/setup.sh" run
	@cd "$(ROOT)" && exec $(CLEAN) .venv/run/bin/python -m qtx_ros demo --out demo-out $(DEMO)

test:
	@$(CLEAN) bash "$(ROOT)tools/setup.sh" dev
	@cd "$(ROOT)" && exec $(CLEAN) .venv/dev/bin/python -m pytest $(TEST)

lint:
	@$(CLEAN) bash "$(ROOT)tools/setup.sh" dev
	@cd "$(ROOT)" && .venv/dev/bin/ruff check .

clean:
	rm -rf "$(ROOT).venv" "$(ROOT)demo-out"
