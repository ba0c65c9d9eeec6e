# Debian 12's packages. Paho is linked statically (libpaho-mqtt3as.a, with TLS): acknowledging
# after the commit needs a symbol that only the static library lets us wrap.
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
target_link_options(paho INTERFACE -Wl,--wrap=usleep) # common/mqtt.c "Paho's nap" says why
