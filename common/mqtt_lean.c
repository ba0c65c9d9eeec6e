/* What Paho does for its own debugging, left out.
 *
 * Debian builds Paho 1.3.12 without PAHO_HIGH_PERFORMANCE: every function's entry and exit goes
 * into a table of stacks, under a lock, and every line of its trace is formatted, whether or not
 * anybody reads it: an eighth of what the agent spends on a message. The build wraps these calls
 * (cmake/libraries.cmake), as that option would have compiled them away. MQTT_C_CLIENT_TRACE shows
 * nothing any more.
 *
 * The third thing that the option removes stays, though it costs as much again: the books about
 * every allocation. Paho 1.3.12 frees the payload of a publish twice when a clean session ends with
 * QoS-1 messages on their way (MQTTAsync_freeCommand1, then MQTTProtocol_removePublication), and it
 * is the books that make nothing of the second time. tests/unit/mqtt_test, "every publish comes to
 * one end", crashes without them. */
void __wrap_StackTrace_entry(const char *name, int line, int level);
void __wrap_StackTrace_exit(const char *name, int line, void *value, int level);
void __wrap_Log(int level, int number, const char *format, ...);

void __wrap_StackTrace_entry(const char *name, int line, int level)
{
	(void)name;
	(void)line;
	(void)level;
}

void __wrap_StackTrace_exit(const char *name, int line, void *value, int level)
{
	(void)name;
	(void)line;
	(void)value;
	(void)level;
}

void __wrap_Log(int level, int number, const char *format, ...)
{
	(void)level;
	(void)number;
	(void)format;
}
