#include "agent/plant.h"
#include "common/hash.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
	struct plant_row row;
	UT_hash_handle hh;
};

struct plant {
	pthread_mutex_t lock;
	struct place *table;
	uint64_t version;
	unsigned removals, generation;
	struct schema schema; /* of this generation */
};

enum status plant_create(struct plant **out)
{
	struct plant *plant = calloc(1, sizeof(*plant));

	if (!plant)
		return STATUS_NO_MEMORY;
	pthread_mutex_init(&plant->lock, NULL);
	*out = plant;
	return STATUS_OK;
}

void plant_destroy(struct plant *plant)
{
	struct place *place, *next;

	if (!plant)
		return;
	HASH_ITER(hh, plant->table, place, next)
	{
		HASH_DEL(plant->table, place);
		free(place);
	}
	pthread_mutex_destroy(&plant->lock);
	free(plant);
}

char plant_level(double score, double threshold)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const double least = 0.05; /* a threshold near 0 says nothing about how scores spread */

	if (isnan(score) || isnan(threshold))
		return '.';
	double level = 1 + (score - threshold) / fmax(fabs(threshold), least);
	level = fmin(fmax(level, -1), 3);
	return letters[(int)((level + 1) / 4 * 63 + 0.5)];
}

/* Which of two levels is higher. */
static int rank(char level)
{
	if (level >= 'A' && level <= 'Z')
		return level - 'A';
	if (level >= 'a' && level <= 'z')
		return level - 'a' + 26;
	if (level >= '0' && level <= '9')
		return level - '0' + 52;
	return level == '-' ? 62 : level == '_' ? 63 : -1;
}

/* The course moves on with the clock that all machines share, that of arrivals. */
static void move_on(struct plant_row *row, int64_t received_ms)
{
	int64_t step = received_ms / PLANT_COURSE_STEP_MS, by = step - row->course_step;

	if (by <= 0)
		return;
	size_t gone = by < PLANT_COURSE ? (size_t)by : PLANT_COURSE;
	memmove(row->course, row->course + gone, PLANT_COURSE - gone);
	memset(row->course + PLANT_COURSE - gone, '.', gone);
	row->course_step = step;
}

static struct plant_row *find(struct plant *plant, const char *machine)
{
	struct place *place;

	HASH_FIND_STR(plant->table, machine, place);
	if (place)
		return &place->row;
	place = calloc(1, sizeof(*place));
	if (!place)
		return NULL;
	snprintf(place->row.machine, sizeof(place->row.machine), "%s", machine);
	memset(place->row.course, '.', PLANT_COURSE);
	place->row.score = place->row.alarm_score = place->row.threshold = NAN;
	HASH_ADD_STR(plant->table, row.machine, place);
	if (!place->hh.tbl) {
		free(place);
		return NULL;
	}
	return &place->row;
}

static void explain(struct plant_row *row, const struct verdict *v, const struct schema *schema)
{
	row->why = v->explained < PLANT_WHY_MAX ? v->explained : PLANT_WHY_MAX;
	for (size_t i = 0; i < row->why; i++) {
		const struct explained *from = &v->explanation[i];
		struct plant_why *to = &row->explained[i];
		memcpy(to->sensor, schema->feature[from->feature].name, sizeof(to->sensor));
		to->value = v->reading.value[from->feature];
		to->share = from->share;
		to->low = from->low;
		to->high = from->high;
	}
}

static void set(struct plant *plant, struct plant_row *row, const struct verdict *v,
	const struct schema *schema)
{
	if (!schema_equal(&plant->schema, schema)) {
		plant->schema = *schema;
		plant->generation++;
	}
	if (!row->read || row->quality != v->quality)
		row->quality_ms = v->reading.received_ms;
	if (!v->anomalous)
		row->strange_ms = 0;
	else if (row->strange_ms == 0)
		row->strange_ms = v->reading.received_ms;
	row->read = true;
	row->at_ms = v->reading.at_ms;
	row->received_ms = v->reading.received_ms;
	row->score = v->score;
	row->alarm_score = v->alarm_score;
	row->threshold = v->threshold;
	row->quality = v->quality;
	row->schema = plant->generation;
	row->values = schema->count < PLANT_VALUES_MAX ? schema->count : PLANT_VALUES_MAX;
	memcpy(row->value, v->reading.value, row->values * sizeof(*row->value));
	explain(row, v, schema);
	row->version = ++plant->version;
}

void plant_note(struct plant *plant, const struct verdict *verdict, const struct schema *schema,
	int64_t patience_ms)
{
	pthread_mutex_lock(&plant->lock);
	struct plant_row *row = verdict->late ? NULL : find(plant, verdict->reading.machine);
	if (row) {
		char level = plant_level(verdict->score, verdict->threshold);
		char *newest = &row->course[PLANT_COURSE - 1];
		move_on(row, verdict->reading.received_ms);
		if (rank(level) > rank(*newest))
			*newest = level;
		row->patience_ms = patience_ms;
		set(plant, row, verdict, schema);
	}
	pthread_mutex_unlock(&plant->lock);
}

void plant_recall(struct plant *plant, const struct verdict *verdict, const struct schema *schema)
{
	pthread_mutex_lock(&plant->lock);
	struct plant_row *row = find(plant, verdict->reading.machine);
	if (row && !row->read)
		set(plant, row, verdict, schema);
	pthread_mutex_unlock(&plant->lock);
}

void plant_alarm(struct plant *plant, const char *machine, const struct alarm *alarm)
{
	pthread_mutex_lock(&plant->lock);
	struct plant_row *row = find(plant, machine);
	if (row) {
		row->state = alarm_state(alarm);
		row->condition = alarm->condition;
		row->priority = alarm->priority;
		row->causes = alarm->causes;
		row->told = alarm->told;
		row->since_ms = alarm->since_ms;
		row->ended_ms = alarm->ended_ms;
		row->shelved_until_ms = alarm->shelved_until_ms;
		row->stopped = alarm->stopped;
		memcpy(row->alarm, alarm->id, sizeof(row->alarm));
		memcpy(row->first_sensor, alarm->first_sensor, sizeof(row->first_sensor));
		memcpy(row->operator_name, alarm->operator_name, sizeof(row->operator_name));
		row->version = ++plant->version;
	}
	pthread_mutex_unlock(&plant->lock);
}

void plant_remove(struct plant *plant, const char *machine)
{
	struct place *place;

	pthread_mutex_lock(&plant->lock);
	HASH_FIND_STR(plant->table, machine, place);
	if (place) {
		HASH_DEL(plant->table, place);
		free(place);
		plant->removals++;
		plant->version++;
	}
	pthread_mutex_unlock(&plant->lock);
}

enum status plant_see(struct plant *plant, uint64_t after, struct plant_view *out)
{
	size_t n = 0;

	pthread_mutex_lock(&plant->lock);
	out->version = plant->version;
	out->removals = plant->removals;
	out->schema = plant->generation;
	for (struct place *p = plant->table; p; p = p->hh.next)
		n += p->row.version > after;
	out->row = malloc(n * sizeof(*out->row) + 1);
	out->count = 0;
	for (struct place *p = plant->table; out->row && p; p = p->hh.next) {
		if (p->row.version > after)
			out->row[out->count++] = p->row;
	}
	pthread_mutex_unlock(&plant->lock);
	return out->row ? STATUS_OK : STATUS_NO_MEMORY;
}

void plant_schema(struct plant *plant, struct schema *out)
{
	pthread_mutex_lock(&plant->lock);
	*out = plant->schema;
	pthread_mutex_unlock(&plant->lock);
}
