# A Debian package of what `cmake --install` installs:
#   cmake -B build-deb -DCMAKE_INSTALL_PREFIX=/usr -DISOLDE_TESTS=OFF && cmake --build build-deb
#   (cd build-deb && cpack)
# Only with the prefix /usr: unit and configuration name their places in full.
# dpkg-dev and file find out what it depends on.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL /usr)
	return()
endif()
set(debian ${PROJECT_SOURCE_DIR}/config/debian)

# Man pages and the changelog, compressed as Debian wants them: without a time.
find_program(GZIP gzip REQUIRED)
function(install_compressed source destination)
	get_filename_component(name ${source} NAME)
	execute_process(COMMAND ${GZIP} -9nc ${source} COMMAND_ERROR_IS_FATAL ANY
		OUTPUT_FILE ${PROJECT_BINARY_DIR}/${name}.gz)
	install(FILES ${PROJECT_BINARY_DIR}/${name}.gz DESTINATION ${destination})
endfunction()
foreach(program isolde-agent isolde-trainer isolde-simulator)
	install_compressed(${PROJECT_SOURCE_DIR}/config/man/${program}.1 ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()
install_compressed(${debian}/changelog ${CMAKE_INSTALL_DOCDIR})
install(FILES ${debian}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME isolde)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
	GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_CONTACT "The Isolde developers")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS mosquitto)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "MQTT-native anomaly agent for factory machines")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Sensors publish readings to a Mosquitto broker; the agent scores each with an
isolation forest trained on healthy data, keeps history in SQLite, publishes
verdicts and alarms, and serves history, metrics and predictions over HTTP.
With the trainer that makes the models, and a simulator to try it with.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
	${debian}/conffiles ${debian}/postinst ${debian}/prerm ${debian}/postrm)
include(CPack)
