#include "common/cpu.h"
#if defined(__x86_64__)
#include <sys/platform/x86.h> /* glibc's: gcc's own is 5 KB of program */
#endif

bool cpu_has(enum cpu_level level)
{
	if (level == CPU_BASELINE)
		return true;
#if defined(__x86_64__)
	bool avx2 = CPU_FEATURE_ACTIVE(AVX2);
	if (level == CPU_AVX2)
		return avx2;
	/* VPOPCNTDQ is not used: processors that have it don't lower their clock for wide vectors.
	 */
	if (level == CPU_AVX512)
		return avx2 && CPU_FEATURE_ACTIVE(AVX512BW) && CPU_FEATURE_ACTIVE(AVX512DQ) &&
			CPU_FEATURE_ACTIVE(AVX512VL) && CPU_FEATURE_ACTIVE(AVX512_VPOPCNTDQ);
#endif
	return false;
}
