# SPDX-License-Identifier: GPL-2.0
#
# The verbs of this repository. All work is done by tools/testing/livepatch/klp-dev,
# this file only gives it the names that a kernel developer would try first.

KLP := tools/testing/livepatch/klp-dev

# Handed over by environment, under names of their own: plain V, O or CORE must
# not leak into the kernel's make, where they mean something else.
export KLP_CORE := $(or $(CORE),rust)
export KLP_CORE_GIVEN := $(CORE)
export KLP_BASE := $(BASE)
export KLP_KERNEL_SRC := $(KERNEL_SRC)
export KLP_V := $(V)
export KLP_O := $(O)
export KLP_FLAVOUR := $(FLAVOUR)
export KLP_PART := $(PART)
export KLP_ARCH := $(ARCH)
export KLP_RUSTC := $(RUSTC)
export KLP_BINDGEN := $(BINDGEN)
# May be empty, which is not the same as not given.
ifneq ($(origin LLVM_SUFFIX),undefined)
export KLP_LLVM_SUFFIX := $(LLVM_SUFFIX)
endif

VERBS := run shell test test-all test-arch test-ci test-flavours test-debug test-kselftest test-klp-build test-stock prove bench klp kernel tree series check-series check deps clean

.PHONY: help $(VERBS)

help:
	@$(KLP) help

$(VERBS):
	@+$(KLP) $@
