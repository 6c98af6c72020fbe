#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: what klp-bench times, as its arguments say.
cd /klp/selftests/bench && exec ./klp-bench "$@"
