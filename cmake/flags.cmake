# Warnings are errors. Every flag that some compiler or processor lacks goes through a check;
# gcc on x86-64 has all of them.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

function(add_flag_if_known flag)
	string(MAKE_C_IDENTIFIER "HAVE_C${flag}" variable)
	set(CMAKE_REQUIRED_FLAGS -Werror)
	check_c_compiler_flag(${flag} ${variable})
	if(${variable})
		add_compile_options(${flag})
	endif()
endfunction()

function(add_linker_flag_if_known flag)
	string(MAKE_C_IDENTIFIER "HAVE_LINK${flag}" variable)
	check_linker_flag(C ${flag} ${variable})
	if(${variable})
		add_link_options(${flag})
	endif()
endfunction()

add_compile_options(-Wall -Wextra -Werror)
# The same bytes in whatever folder it is built (tests/supply).
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
foreach(flag -Wformat=2 -Wconversion -Wshadow -Wvla -Wundef -Wstrict-prototypes
		-Wmissing-prototypes -Wno-sign-conversion
		# The same bits from every build: no fused multiply-add, no reordering.
		-ffp-contract=off -fno-math-errno)
	add_flag_if_known(${flag})
endforeach()

# Small first: the agent is for small boxes. What the path of a message runs through is built for
# speed, by the lists that set -O2 and -O3.
set(CMAKE_C_FLAGS_RELEASE "-Os -g -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

if(ISOLDE_ASAN)
	add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
		-fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
elseif(ISOLDE_TSAN)
	add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
	add_link_options(-fsanitize=thread)
elseif(CMAKE_BUILD_TYPE STREQUAL Release)
	add_compile_options(-U_FORTIFY_SOURCE)
	foreach(flag -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
			-fcf-protection=full -ftrivial-auto-var-init=zero -fPIE)
		add_flag_if_known(${flag})
	endforeach()
	# What nobody calls is left out, and what only a debugger reads goes with the debug symbols: a
	# stripped program has no tables for unwinding, and 24 bytes a relocation become one bit.
	add_compile_options(-ffunction-sections -fdata-sections)
	add_flag_if_known(-Oz)
	foreach(flag -fno-asynchronous-unwind-tables -fno-unwind-tables)
		add_flag_if_known(${flag})
	endforeach()
	foreach(flag -Wl,--gc-sections -Wl,-z,pack-relative-relocs
			-Wl,-T,${PROJECT_SOURCE_DIR}/cmake/no_unwinding.ld)
		add_linker_flag_if_known(${flag})
	endforeach()
	# A CMake policy leaves -pie to us.
	set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -pie")
	foreach(flag -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
		add_linker_flag_if_known(${flag})
	endforeach()
endif()
if(ISOLDE_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()
