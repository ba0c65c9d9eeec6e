#include "agent/linger.h"

enum { NS_PER_MS = 1000000 };

static size_t at_least_few(size_t n)
{
	return n > LINGER_FEW ? n : LINGER_FEW;
}

static size_t enough(const struct linger *linger)
{
	return at_least_few(linger->enough);
}

void linger_begin(struct linger *linger, int64_t now_ns, int64_t acknowledged_ns)
{
	bool held = acknowledged_ns > linger->last_ns; /* the broker had all before it went on */
	bool at_once = held && now_ns - acknowledged_ns < (int64_t)LINGER_AT_ONCE_MS * NS_PER_MS;

	linger->in_a_row = linger->in_vain && at_once ? linger->in_a_row + 1 : 0;
	linger->silences = held ? linger->silences + linger->silent : 0;
	if (linger->silent && held && (at_once || linger->silences >= LINGER_IN_A_ROW)) {
		linger->enough = at_least_few(linger->n / 2);
		linger->grow_ns = now_ns + LINGER_GROW_S * INT64_C(1000000000);
		linger->silences = 0;
	} else if (linger->n >= enough(linger) && now_ns >= linger->grow_ns) {
		linger->enough = 2 * enough(linger);
		if (linger->enough > LINGER_MANY)
			linger->enough = LINGER_MANY;
	}
	linger->first_ns = linger->last_ns = now_ns;
	linger->in_vain = linger->silent = false;
	linger->n = 0;
	if (linger->in_a_row < LINGER_IN_A_ROW)
		return;
	linger->hurry_ns = now_ns + LINGER_HURRY_S * INT64_C(1000000000);
	linger->in_a_row = 0;
}

/* How long the silence behind n messages may be, more of whom are welcome. */
static int64_t patience_ns(const struct linger *linger, size_t n)
{
	int64_t gaps = LINGER_GAPS * (linger->last_ns - linger->first_ns) / (int64_t)(n - 1);
	int64_t least = (int64_t)LINGER_SILENCE_MS * NS_PER_MS;

	return gaps > least ? gaps : least;
}

int linger_ms(struct linger *linger, int64_t now_ns, size_t n)
{
	int64_t left_ns = linger->first_ns + (int64_t)LINGER_MS * NS_PER_MS - now_ns;

	linger->n = n;
	if (n >= enough(linger) || now_ns < linger->hurry_ns)
		return 0;
	if (n >= LINGER_FEW) {
		int64_t silent_ns = linger->last_ns + patience_ns(linger, n) - now_ns;
		left_ns = silent_ns < left_ns ? silent_ns : left_ns;
	}
	return left_ns > 0 ? (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

void linger_waited(struct linger *linger, int64_t now_ns, bool grew)
{
	if (grew) {
		linger->last_ns = now_ns;
		return;
	}
	int64_t silent_ns = now_ns - linger->last_ns;
	if (linger->n < LINGER_FEW) {
		linger->in_vain = silent_ns >= (int64_t)LINGER_MS / 2 * NS_PER_MS;
	} else {
		linger->silent = silent_ns >= patience_ns(linger, linger->n);
	}
}
