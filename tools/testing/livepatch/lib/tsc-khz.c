// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how fast this machine's time stamp counter runs, in kHz.
 *
 * Under TCG the guest's TSC is the host's, and the guest has nothing to calibrate it
 * against: without ACPI there is neither HPET nor PM timer, and the emulated PIT is too
 * jittery. Without a TSC there are no high resolution timers and no tickless idle.
 */
#include <stdio.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(void)
{
	double t0 = now(), t1;
	unsigned long long c0 = __builtin_ia32_rdtsc();

	do
		t1 = now();
	while (t1 - t0 < 0.1);
	printf("%.0f\n", (__builtin_ia32_rdtsc() - c0) / (t1 - t0) / 1e3);
	return 0;
}
