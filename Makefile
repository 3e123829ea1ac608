# make run       build, then serve the ROT13 example on 127.0.0.1:$(PORT)
# make test      every test: C, C under ASan + UBSan, pytest
# make           build for $(PYTHON) in place, in an environment of its own
#
# make ctest     C tests; T=buf/test_lines: one program, K=part: the tests
#                whose name has this part, SAN=1: under ASan + UBSan
# make pytest    Python tests; ARGS='-k listener -x'
# make pytest-san  the same with the extension under ASan + UBSan
# make pytest-kq   those that run per backend, on kqueue, emulated
# make fuzz      random inputs; T=buffer: one target, SECONDS=300
# make fuzz-api  random calls of the Python API under ASan; SECONDS=600; SEED=5: one alone
# make stress    make stress-c, and the tests under load with more clients and more
#                rounds; make stress-san: 1,000 connections under ASan
# make stress-c  random steps on 5,000 descriptors against a model, plain, under
#                ASan + UBSan and ThreadSanitizer, SECONDS=60 each
# make tsan      the loop's tests with threads under ThreadSanitizer
# make lib       the C core for C users: build/lib/libpyevent.a
# make cross     compile and link the C core for other systems
# make bench     every benchmark, tables and plots; ARGS=--quick only sees that
#                they run
# make bench-count  instructions and system calls for a message, against those
#                committed; ARGS=--write commits to new ones
# make wheel     dist/*.whl      make sdist     make lint      make clean
#
# PYTHON=python3.12, or a path, takes another Python, in an environment of its own;
# V=1 shows the commands; WERROR= lets a compiler warn that knows more warnings than
# ours.

PORT ?= 40713
PYTHON ?= python3
WERROR ?= -Werror
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ifeq ($(origin CC),default)
CC := gcc
endif
MAKEFLAGS += -j$(JOBS) --no-builtin-rules --no-print-directory
Q := $(if $(V),,@)
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
.PHONY: build run test ctest tsan pytest pytest-san pytest-kq fuzz fuzz-api stress stress-c stress-san lib cross
.PHONY: bench bench-count wheel lint clean

# ---- Python -------------------------------------------------------------------
#
# One virtual environment per interpreter: .venv for python3, others are named by
# version and path, as .venv-3.12-1c0ffee1. It sees src/ through a .pth file and the
# extension is built in place, which is an editable install whose next build
# compiles only what changed. The tools are the groups of pyproject.toml.

OLDEST := 3.10
COMMA := ,
# Which interpreter $(PYTHON) is, and whether it is too old; nothing if it does not run.
INTERPRETER := $(shell $(PYTHON) -c 'import os, sys, zlib; \
    v = sys.version_info[:2]; \
    path = os.path.realpath(getattr(sys, "_base_executable", sys.executable)); \
    print("%d.%d-%08x" % (v + (zlib.crc32(path.encode()),)), v < ($(subst .,$(COMMA) ,$(OLDEST))))' \
    2>/dev/null)
KEY := $(firstword $(INTERPRETER))
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(KEY))
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -q
SOURCES := $(shell find csrc src/pyevent -name '*.[ch]' -o -name '*.py[xi]' -o -name '*.pxd')
PTH := import os, sysconfig; \
    f = open(os.path.join(sysconfig.get_path("purelib"), "pyevent.pth"), "w"); \
    f.write(os.path.abspath("src") + "\n")

.PHONY: environment sdist

# Debian's Python without python3-venv makes an environment without pip only. The
# name of the stamp tells an interpreter from another that python3 was before.
environment:
	@$(if $(KEY),:,echo "PYTHON=$(PYTHON) does not run"; exit 1)
	@$(if $(filter True,$(INTERPRETER)),echo "pyevent needs Python >= $(OLDEST)$(COMMA) and $(PYTHON) is \
	    $(firstword $(subst -, ,$(KEY))): name another with PYTHON="; exit 1,:)
	@echo "$(VENV): an environment for $$($(PYTHON) -V)"
	$(Q)rm -rf $(VENV)
	$(Q)$(PYTHON) -m venv $(VENV) >/dev/null || { \
	    $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	    $(PYTHON) -m pip --python $(PY) install -q pip; }
	@touch $(VENV)/.python-$(KEY)

$(VENV)/.tools: pyproject.toml $(if $(wildcard $(VENV)/.python-$(KEY)),,environment)
	@echo "$(VENV): tools for building and testing"
	$(Q)$(PIP) install 'pip>=25.1'
	$(Q)$(PIP) install --group build --group test
	$(Q)$(PY) -c '$(PTH)'
	@touch $@

$(VENV)/.built: $(VENV)/.tools setup.py $(SOURCES)
	@echo "pyevent._native.core: building for $$($(PY) -V)"
	$(Q)PYEVENT_WERROR=$(if $(WERROR),1) $(PY) setup.py -q build_ext --inplace egg_info
	@touch $@

build: $(VENV)/.built

# exec: signals reach the server itself, and no shell outlives it.
run: $(VENV)/.built
	@exec $(PY) examples/rot13_bufferevent.py --port $(PORT)

wheel: $(VENV)/.tools
	$(Q)$(PIP) wheel --no-deps -w dist .

sdist: $(VENV)/.tools
	$(Q)$(PY) setup.py -q sdist

$(VENV)/.lint: $(VENV)/.tools
	$(Q)$(PIP) install --group lint
	@touch $@

lint: $(VENV)/.lint
	$(Q)$(PY) -m ruff check .
	$(Q)$(PY) -m ruff format --check .
	$(Q)$(PY) -m mypy

clean:
	rm -rf build dist src/*.egg-info src/pyevent/_native/*.so .venv*/.built
	find src tests examples -name __pycache__ -exec rm -rf {} +

# ---- the C core and its tests -----------------------------------------------
#
# build/c and build/san hold the same tree twice, plain and with sanitizers.
# Sources are found, not listed. A program tests/c/<layer>/parity_x.c or
# tests/c/programs/x.c uses event2/ headers alone, so it is compiled once more
# against the system's libevent, where that is installed, as x.libevent.
# Programs are for the Python tests: build/c/tests/c/programs/x.
#
# build/kq and build/kq-san are the variant with the kqueue backend, best of
# all, over an emulation of kqueue(2): tests/c/kqueue on the include path of
# the two files that look for <sys/event.h>, everything else from build/c.

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes $(WERROR)
CFLAGS_C := -std=c11 -D_GNU_SOURCE -O2 -g -pthread $(WARN)
CFLAGS_CORE := $(CFLAGS_C) -fvisibility=hidden -fPIC -Icsrc -Icsrc/include
CFLAGS_SAN := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_SAN += -Wno-error # gcc sees things that are not there in what it instruments
CFLAGS_TSAN := -O1 -fsanitize=thread -Wno-error

CORE := $(sort $(shell find csrc -name '*.c'))
TESTS := $(sort $(wildcard tests/c/*/test_*.c tests/c/*/parity_*.c))
KQ_SWITCHED := csrc/loop/backend_kqueue.c csrc/loop/backends.c
KQ_CORE := $(filter-out $(KQ_SWITCHED),$(CORE))
PROGRAMS := $(sort $(wildcard tests/c/programs/*.c))
ifdef T
TESTS := tests/c/$(T).c
endif

LIBEVENT := $(shell pkg-config --cflags --libs libevent 2>/dev/null || \
    { $(CC) -include event2/event.h -x c -E /dev/null >/dev/null 2>&1 && echo -levent; })
ifneq ($(LIBEVENT),)
PARITY := $(foreach t,$(TESTS),$(if $(findstring /parity_,$(t)),$(t)))
PARITY_PROGRAMS := $(PROGRAMS)
COMPARED := :
else
COMPARED := echo "comparison with libevent skipped: libevent-dev is not installed"
endif

KQ_TESTS := $(filter tests/c/kqueue/% tests/c/loop/% tests/c/stream/%,$(TESTS))
TESTS := $(filter-out tests/c/kqueue/%,$(TESTS))

# What fuzzing has found stays found: each corpus is replayed with the tests.
FUZZERS := $(wildcard tests/c/fuzz/fuzz_*.c)
ifeq ($(T)$(K),)
FUZZ_REPLAYS := $(FUZZERS:%.c=build/san/%)
endif

# A wrong T=, before it is no rule's target.
ifneq ($(filter ctest,$(MAKECMDGOALS)),)
ifeq ($(wildcard $(or $(T:%=tests/c/%.c),tests/c)),)
$(error T=$(T): there is no tests/c/$(T).c)
endif
endif

C_TESTS := $(TESTS:%.c=build/c/%) $(PARITY:%.c=build/plain/%.libevent) $(KQ_TESTS:%.c=build/kq/%)
SAN_TESTS := $(TESTS:%.c=build/san/%) $(KQ_TESTS:%.c=build/kq-san/%) $(FUZZ_REPLAYS)
C_PROGRAMS := $(PROGRAMS:%.c=build/c/%) $(PARITY_PROGRAMS:%.c=build/plain/%.libevent)
.SECONDARY:

lib: build/lib/libpyevent.a

build/lib/libpyevent.a: $(CORE:%.c=build/c/%.o)
build/san/libpyevent.a: $(CORE:%.c=build/san/%.o)
build/tsan/libpyevent.a: $(CORE:%.c=build/tsan/%.o)
build/kq/libpyevent.a: $(KQ_CORE:%.c=build/c/%.o) $(KQ_SWITCHED:%.c=build/kq/%.o) \
    build/kq/tests/c/kqueue/kqueue.o
build/kq-san/libpyevent.a: $(KQ_CORE:%.c=build/san/%.o) $(KQ_SWITCHED:%.c=build/kq-san/%.o) \
    build/kq-san/tests/c/kqueue/kqueue.o
build/lib/libpyevent.a build/san/libpyevent.a build/tsan/libpyevent.a build/kq/libpyevent.a build/kq-san/libpyevent.a:
	@echo "ar $@"; mkdir -p $(@D); rm -f $@
	$(Q)ar rcs $@ $^

build/c/%.o: %.c Makefile
	@echo "cc $<"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_CORE) -Itests/c -MMD -MP -c $< -o $@
build/san/%.o: %.c Makefile
	@echo "cc $< (sanitizers)"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_CORE) $(CFLAGS_SAN) -Itests/c -MMD -MP -c $< -o $@
build/tsan/%.o: %.c Makefile
	@echo "cc $< (thread sanitizer)"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_CORE) $(CFLAGS_TSAN) -Itests/c -MMD -MP -c $< -o $@
build/kq/%.o: %.c Makefile
	@echo "cc $< (kqueue)"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_CORE) -Itests/c -Itests/c/kqueue -MMD -MP -c $< -o $@
build/kq-san/%.o: %.c Makefile
	@echo "cc $< (kqueue, sanitizers)"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_CORE) $(CFLAGS_SAN) -Itests/c -Itests/c/kqueue -MMD -MP -c $< -o $@
build/plain/%.o: %.c Makefile
	@echo "cc $< (libevent)"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_C) -DHARNESS_PLAIN -Itests/c $(filter -I%,$(LIBEVENT)) -MMD -MP -c $< -o $@

build/c/tests/c/programs/%: build/c/tests/c/programs/%.o build/lib/libpyevent.a
	$(Q)$(CC) -pthread $^ -o $@
build/plain/tests/c/programs/%.libevent: build/plain/tests/c/programs/%.o
	$(Q)$(CC) -pthread $^ $(LIBEVENT) -o $@
build/c/tests/c/%: build/c/tests/c/%.o build/c/tests/c/harness.o build/lib/libpyevent.a
	$(Q)$(CC) -pthread $^ -o $@
build/san/tests/c/%: build/san/tests/c/%.o build/san/tests/c/harness.o build/san/libpyevent.a
	$(Q)$(CC) -pthread $(CFLAGS_SAN) $^ -o $@
build/san/tests/c/fuzz/%: build/san/tests/c/fuzz/%.o build/san/tests/c/fuzz/replay.o build/san/libpyevent.a
	$(Q)$(CC) -pthread $(CFLAGS_SAN) $^ -o $@
build/tsan/tests/c/%: build/tsan/tests/c/%.o build/tsan/tests/c/harness.o build/tsan/libpyevent.a
	$(Q)$(CC) -pthread $(CFLAGS_TSAN) $^ -o $@
build/kq/tests/c/kqueue/%: build/kq/tests/c/kqueue/%.o build/c/tests/c/harness.o build/kq/libpyevent.a
	$(Q)$(CC) -pthread $^ -o $@
build/kq-san/tests/c/kqueue/%: build/kq-san/tests/c/kqueue/%.o build/san/tests/c/harness.o \
    build/kq-san/libpyevent.a
	$(Q)$(CC) -pthread $(CFLAGS_SAN) $^ -o $@
build/kq/tests/c/%: build/c/tests/c/%.o build/c/tests/c/harness.o build/kq/libpyevent.a
	@mkdir -p $(@D)
	$(Q)$(CC) -pthread $^ -o $@
build/kq-san/tests/c/%: build/san/tests/c/%.o build/san/tests/c/harness.o build/kq-san/libpyevent.a
	@mkdir -p $(@D)
	$(Q)$(CC) -pthread $(CFLAGS_SAN) $^ -o $@
build/plain/tests/c/%.libevent: build/plain/tests/c/%.o build/plain/tests/c/harness.o
	$(Q)$(CC) -pthread $^ $(LIBEVENT) -o $@

-include $(shell find build/c build/san build/tsan build/kq build/kq-san build/plain -name '*.d' 2>/dev/null)

# ---- benchmarks -------------------------------------------------------------------

$(VENV)/.bench: $(VENV)/.tools
	$(Q)$(PIP) install --group bench
	@touch $@

bench: $(VENV)/.built $(VENV)/.bench lib
	@exec $(PY) benchmarks/run.py $(ARGS)

bench-count: $(VENV)/.built
	@exec $(PY) benchmarks/count.py $(ARGS)

# ---- other systems ----------------------------------------------------------------
#
# zig cc carries the headers and the libraries' symbols of each. Linking shows a
# function that is not there yet, as in the glibc of the oldest wheels: all is
# visible, so that the linker leaves nothing out. Of the warnings, clang's about
# an int that becomes an enum is not ours.

CROSS := aarch64-macos x86_64-freebsd aarch64-linux-musl x86_64-linux-gnu.2.17

cross: $(CROSS:%=build/cross/%.so)

build/cross/%.so: $(CORE) $(filter csrc/%.h,$(SOURCES)) Makefile $(VENV)/.cross
	@echo "zig cc -target $*"; mkdir -p $(@D)
	$(Q)ZIG_LOCAL_CACHE_DIR=build/cross/cache $(PY) -m ziglang cc -target $* $(CFLAGS_CORE) -g0 \
	    -Wno-sign-conversion -fvisibility=default -shared $(if $(findstring macos,$*),,-Wl$(COMMA)-z$(COMMA)defs) $(CORE) -o $@

$(VENV)/.cross: $(VENV)/.tools
	$(Q)$(PIP) install --group cross
	@touch $@

# ---- running the tests ----------------------------------------------------------

# The given C test programs one after the other; fails when one of them does. With K
# those that have such a test; fails when none has.
run_c = $(if $(K),$(call run_part,$(1)),$(call run_all,$(1)))
run_all = status=0; for p in $(1); do echo "$$p"; ASAN_OPTIONS=detect_leaks=1 \
    UBSAN_OPTIONS=print_stacktrace=1 $$p $(if $(K),-k '$(K)') || status=1; done; test $$status = 0
run_part = with=$$(for p in $(1); do test -z "$$($$p -l -k '$(K)')" || echo "$$p"; done); \
    test -n "$$with" || { echo "no test in $(or $(T),tests/c) has '$(K)' in its name"; exit 1; }; \
    $(call run_all,$$with)

ifdef SAN
ctest: $(SAN_TESTS)
	@$(call run_c,$(SAN_TESTS))
else
ctest: $(C_TESTS)
	@$(COMPARED)
	@$(call run_c,$(C_TESTS))
endif

pytest: $(VENV)/.built lib $(C_PROGRAMS)
	@exec $(PY) -m pytest $(ARGS)

# libFuzzer goes on from the corpus and adds to build/fuzz; what makes a target
# fail stays there as a file, to be put into the corpus with the repair.
SECONDS ?= 60
fuzz: $(patsubst %,build/fuzz/fuzz_%,$(or $(T),$(FUZZERS:tests/c/fuzz/fuzz_%.c=%)))
	@for p in $^; do name=$${p#build/fuzz/fuzz_}; mkdir -p build/fuzz/found/$$name; \
	    $$p -max_total_time=$(SECONDS) -max_len=600 -artifact_prefix=build/fuzz/$$name- \
	    build/fuzz/found/$$name tests/c/fuzz/corpus/$$name || exit 1; done

build/fuzz/%: tests/c/fuzz/%.c $(CORE) $(filter csrc/%.h,$(SOURCES)) $(wildcard tests/c/*/*.h)
	@command -v clang >/dev/null || { echo "make fuzz needs clang with libFuzzer;" \
	    "on Debian: apt-get install clang libclang-rt-14-dev"; exit 1; }
	@echo "clang $<"; mkdir -p $(@D)
	$(Q)clang -std=c11 -D_GNU_SOURCE -O1 -g -pthread -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=all -Icsrc -Icsrc/include -Itests/c $< $(CORE) -o $@

# Minutes, on both processors.
stress: stress-c $(VENV)/.built
	@PYEVENT_STRESS=1 exec $(PY) -m pytest -s \
	    tests/buffer/test_model.py tests/examples/test_load.py tests/stream/test_ten_thousand.py $(ARGS)

# Each of the model's two tests goes through every backend that there is.
MODEL := tests/c/loop/test_model
TSAN_TESTS := $(addprefix build/tsan/,$(MODEL) tests/c/loop/test_wake tests/c/loop/test_signal)
stress_c = echo "$(1)"; HARNESS_SECONDS=1200 PYEVENT_STRESS_FDS=$(2) \
    PYEVENT_STRESS_SECONDS=$$(($(SECONDS) / 6)) $(1)

stress-c: build/c/$(MODEL) build/san/$(MODEL) build/tsan/$(MODEL)
	@$(call stress_c,build/c/$(MODEL),5000)
	@$(call stress_c,build/san/$(MODEL),5000)
	@$(call stress_c,build/tsan/$(MODEL),200)

tsan: $(TSAN_TESTS)
	@$(call run_c,$(TSAN_TESTS))

# All three even if one fails; the last lines are pytest's summary.
test: $(C_TESTS) $(SAN_TESTS) $(VENV)/.built lib $(C_PROGRAMS)
	@$(COMPARED)
	@status=0; \
	( $(call run_c,$(C_TESTS) $(SAN_TESTS)) ) || status=1; \
	$(PY) -m pytest $(ARGS) || status=1; \
	test $$status = 0

# Python itself leaks on purpose at exit, hence no leak check here.
pytest-san: $(VENV)/.tools $(C_PROGRAMS)
	$(Q)PYEVENT_SAN=address,undefined $(PY) setup.py -q \
	    build --build-base build/py-san --build-lib build/py-san/lib
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
	    PYTHONPATH=$(CURDIR)/build/py-san/lib exec $(PY) -m pytest -m 'not slow' $(ARGS)

# Each seed is a process of its own, which SEED=n runs again.
fuzz-api: $(VENV)/.tools
	$(Q)PYEVENT_SAN=address,undefined $(PY) setup.py -q \
	    build --build-base build/py-san --build-lib build/py-san/lib
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
	    PYTHONPATH=$(CURDIR)/build/py-san/lib exec $(PY) tests/fuzz_api/run.py $(SECONDS) $(SEED)

# A thousand connections at a time.
stress-san: $(VENV)/.tools
	$(Q)PYEVENT_SAN=address,undefined $(PY) setup.py -q \
	    build --build-base build/py-san --build-lib build/py-san/lib
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
	    PYTHONPATH=$(CURDIR)/build/py-san/lib exec $(PY) -m pytest -s tests/stream/test_ten_thousand.py $(ARGS)

# kqueue(2) is emulated: see build/kq above.
pytest-kq: $(VENV)/.tools build/kq/tests/c/kqueue/kqueue.o
	$(Q)CFLAGS="-O2 -I$(CURDIR)/tests/c/kqueue" LDFLAGS=build/kq/tests/c/kqueue/kqueue.o \
	    $(PY) setup.py -q build --build-base build/py-kq --build-lib build/py-kq/lib
	@PYTHONPATH=$(CURDIR)/build/py-kq/lib exec $(PY) -m pytest -k kqueue tests/loop tests/stream $(ARGS)
