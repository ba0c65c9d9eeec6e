# Debian 12's packages. Paho is linked statically (libpaho-mqtt3as.a, with TLS): acknowledging
# after the commit needs a symbol that only the static library lets us wrap.
include(CheckCSourceCompiles)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(CONFUSE REQUIRED IMPORTED_TARGET libconfuse)
find_library(CSV_LIBRARY csv REQUIRED)
find_library(CIVETWEB_LIBRARY civetweb REQUIRED) # its CMake package names another package's file
find_library(PAHO_LIBRARY NAMES libpaho-mqtt3as.a REQUIRED)
find_path(PAHO_INCLUDE MQTTAsync.h REQUIRED)
find_path(UTHASH_INCLUDE uthash.h REQUIRED)

add_library(paho INTERFACE)
target_link_libraries(paho INTERFACE ${PAHO_LIBRARY} OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
target_link_options(paho INTERFACE -Wl,--wrap=usleep) # common/mqtt_socket.c "Paho's nap" says why
foreach(listened SSL_connect SSL_read X509_check_ip_asc) # common/mqtt_tls.h
	target_link_options(paho INTERFACE -Wl,--wrap=${listened})
endforeach()
target_link_options(paho INTERFACE -Wl,--wrap=connect) # common/mqtt_socket.c
foreach(reading recv poll close) # common/mqtt_ahead.c
	target_link_options(paho INTERFACE -Wl,--wrap=${reading})
endforeach()
foreach(debugging StackTrace_entry StackTrace_exit Log) # common/mqtt_lean.c
	# Paho comes behind what wraps it, which nothing else asks for: -u does.
	target_link_options(paho INTERFACE -Wl,--wrap=${debugging} -Wl,-u,__wrap_${debugging})
endforeach()
# common/mqtt_ack.c: PUBACKs leave after the commit. It leans on the inside of one version.
target_link_options(paho INTERFACE -Wl,--wrap=MQTTPacket_send_puback)
find_package(eclipse-paho-mqtt-c CONFIG QUIET)
if(NOT eclipse-paho-mqtt-c_VERSION STREQUAL 1.3.11) # what Debian's 1.3.12-1 calls itself
	message(FATAL_ERROR "Paho ${eclipse-paho-mqtt-c_VERSION}: common/mqtt_ack.c was written for "
		"1.3.12 (which says 1.3.11). Read its opening comment, see that tests/unit/mqtt_test "
		"passes with the new one, and change this line.")
endif()
set(CMAKE_REQUIRED_LIBRARIES ${PAHO_LIBRARY} OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
check_c_source_compiles("int MQTTPacket_send_puback(int, int, void *, const char *);
	int MQTTAsync_lock_mutex(void *); extern void *mqttasync_mutex;
	int WebSocket_putdatas(void *, char **, unsigned long *, void *);
	int main(void) { MQTTAsync_lock_mutex(mqttasync_mutex);
	WebSocket_putdatas(0, 0, 0, 0);
	return MQTTPacket_send_puback(4, 1, 0, 0); }" PAHO_HAS_ACKS)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT PAHO_HAS_ACKS)
	message(FATAL_ERROR "${PAHO_LIBRARY} lacks what common/mqtt_ack.c wraps")
endif()
