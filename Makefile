.PHONY: demo test setup

setup:
	@scripts/setup

demo: setup
	@.venv/bin/gridward demo

test: setup
	@scripts/check
