# make run     build, then serve the ROT13 example on 127.0.0.1:$(PORT)
# make test    every test: C, C under ASan + UBSan, pytest
# make lib     the C core for C users: build/lib/libpyevent.a
# make ctest   C tests only; T=buf/test_evbuffer: one program, K=part: tests
#              whose name has this part, SAN=1: under ASan + UBSan

PORT ?= 40713
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ifeq ($(origin CC),default)
CC := gcc
endif
MAKEFLAGS += -j$(JOBS) --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
.PHONY: build lib ctest

# ---- the C core and its tests -----------------------------------------------
#
# build/c and build/san hold the same tree twice, plain and with sanitizers.
# Sources are found, not listed. A program tests/c/<layer>/parity_x.c or
# tests/c/programs/x.c uses event2/ headers alone, so it is compiled once more
# against the system's libevent, where that is installed, as x.libevent.

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Werror
CFLAGS_C := -std=c11 -D_GNU_SOURCE -O2 -g -pthread $(WARN)
CFLAGS_CORE := $(CFLAGS_C) -fvisibility=hidden -fPIC -Icsrc -Icsrc/include
CFLAGS_SAN := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

CORE := $(sort $(shell find csrc -name '*.c'))
TESTS := $(sort $(wildcard tests/c/*/test_*.c tests/c/*/parity_*.c))
PROGRAMS := $(sort $(wildcard tests/c/programs/*.c))
ifdef T
TESTS := tests/c/$(T).c
endif

HAVE_LIBEVENT := $(shell pkg-config --exists libevent 2>/dev/null && echo yes)
ifeq ($(HAVE_LIBEVENT),yes)
PARITY := $(foreach t,$(TESTS),$(if $(findstring /parity_,$(t)),$(t)))
LIBEVENT := $(shell pkg-config --cflags --libs libevent)
endif

C_PROGRAMS := $(TESTS:%.c=build/c/%)
SAN_PROGRAMS := $(TESTS:%.c=build/san/%)
PLAIN_PROGRAMS := $(PARITY:%.c=build/plain/%.libevent)
USER_PROGRAMS := $(PROGRAMS:%.c=build/c/%) \
    $(if $(HAVE_LIBEVENT),$(PROGRAMS:%.c=build/plain/%.libevent))
.SECONDARY:

lib: build/lib/libpyevent.a

build/lib/libpyevent.a: $(CORE:%.c=build/c/%.o)
build/san/libpyevent.a: $(CORE:%.c=build/san/%.o)
build/lib/libpyevent.a build/san/libpyevent.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

build/c/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_CORE) -Itests/c -MMD -MP -c $< -o $@
build/san/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_CORE) $(CFLAGS_SAN) -Itests/c -MMD -MP -c $< -o $@
build/plain/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_C) -DHARNESS_PLAIN -Itests/c $(filter -I%,$(LIBEVENT)) -MMD -MP -c $< -o $@

build/c/tests/c/programs/%: build/c/tests/c/programs/%.o build/lib/libpyevent.a
	$(CC) -pthread $^ -o $@
build/plain/tests/c/programs/%.libevent: build/plain/tests/c/programs/%.o
	$(CC) -pthread $^ $(LIBEVENT) -o $@
build/c/tests/c/%: build/c/tests/c/%.o build/c/tests/c/harness.o build/lib/libpyevent.a
	$(CC) -pthread $^ -o $@
build/san/tests/c/%: build/san/tests/c/%.o build/san/tests/c/harness.o build/san/libpyevent.a
	$(CC) -pthread $(CFLAGS_SAN) $^ -o $@
build/plain/tests/c/%.libevent: build/plain/tests/c/%.o build/plain/tests/c/harness.o
	$(CC) -pthread $^ $(LIBEVENT) -o $@

-include $(shell find build/c build/san build/plain -name '*.d' 2>/dev/null)

# Runs the given programs one after the other; fails when one of them does.
run_c = status=0; for p in $(1); do echo "$$p"; ASAN_OPTIONS=detect_leaks=1 \
    UBSAN_OPTIONS=print_stacktrace=1 $$p -k '$(K)' || status=1; done; test $$status = 0
say_libevent := $(if $(HAVE_LIBEVENT),:,echo "comparison with libevent skipped: libevent-dev is not installed")

ifdef SAN
ctest: $(SAN_PROGRAMS)
	@$(call run_c,$(SAN_PROGRAMS))
else
ctest: $(C_PROGRAMS) $(PLAIN_PROGRAMS)
	@$(say_libevent)
	@$(call run_c,$(C_PROGRAMS) $(PLAIN_PROGRAMS))
endif
