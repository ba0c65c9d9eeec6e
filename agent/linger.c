#include "agent/linger.h"

enum { NS_PER_MS = 1000000 };

void linger_begin(struct linger *linger, int64_t now_ns, int64_t acknowledged_ns)
{
	bool at_once = linger->in_vain && acknowledged_ns > linger->last_ns &&
		now_ns - acknowledged_ns < (int64_t)LINGER_AT_ONCE_MS * NS_PER_MS;

	linger->in_a_row = at_once ? linger->in_a_row + 1 : 0;
	linger->first_ns = linger->last_ns = now_ns;
	linger->in_vain = false;
	linger->napped = 0;
	if (linger->in_a_row < LINGER_IN_A_ROW)
		return;
	linger->hurry_ns = now_ns + LINGER_HURRY_S * INT64_C(1000000000);
	linger->in_a_row = 0;
}

int linger_ms(const struct linger *linger, int64_t now_ns, size_t n)
{
	int64_t left_ns = linger->first_ns + (int64_t)LINGER_MS * NS_PER_MS - now_ns;

	if (n >= LINGER_FEW || now_ns < linger->hurry_ns || left_ns <= 0)
		return 0;
	return (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

int linger_nap_us(struct linger *linger, int64_t now_ns, size_t n)
{
	int64_t age_ns = now_ns - linger->first_ns;

	if (n < LINGER_FEW || n >= LINGER_MANY || n == linger->napped ||
		now_ns < linger->hurry_ns || age_ns >= (int64_t)LINGER_NAPS_MS * NS_PER_MS)
		return 0;
	if (age_ns / (int64_t)n >= (int64_t)LINGER_NAP_US * 1000 / LINGER_FEW)
		return 0; /* slow */
	linger->napped = n;
	return LINGER_NAP_US;
}

void linger_waited(struct linger *linger, int64_t now_ns, bool grew)
{
	if (grew)
		linger->last_ns = now_ns;
	else
		linger->in_vain = now_ns - linger->last_ns >= (int64_t)LINGER_MS / 2 * NS_PER_MS;
}
