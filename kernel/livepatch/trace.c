// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of livepatching, for whichever core there is.
 */

#define CREATE_TRACE_POINTS
#include <trace/events/livepatch.h>
