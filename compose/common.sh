# What compose/run and tests/run share: words for people, Debian's packages, the build.
# Sourced by bash, from the checkout's root. Nothing runs when it is read.

# What the three programs are built from.
build_packages=(gcc libc6-dev cmake ninja-build pkgconf libpaho-mqtt-dev libcjson-dev
	libsqlite3-dev libcivetweb-dev libconfuse-dev libcsv-dev uthash-dev libssl-dev libjs-dygraphs)
# What the system runs with on one machine.
run_packages=(mosquitto mosquitto-clients curl)

if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' grey=$'\e[90m' plain=$'\e[0m'
else
	bold='' red='' green='' yellow='' grey='' plain=''
fi

say() { printf '%s\n' "$*"; }
complain() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; }
die() { # EXIT-CODE SENTENCE
	local code=$1
	shift
	complain "$*"
	exit "$code"
}

# Those of the named packages that are not installed. Nothing where there is no dpkg: then it is
# the build that tells what is missing.
missing_packages() {
	command -v dpkg-query >/dev/null || return 0
	local have
	have=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "$@" 2>/dev/null | sed -n 's/ ii .*//p')
	comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$have")
}

# Installs what is missing of the named packages; false, and the words for it, if that cannot be.
install_packages() {
	local missing root=()
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	if ((EUID != 0)); then
		if ! command -v sudo >/dev/null; then
			complain "not installed: ${missing[*]}" \
				"(neither root nor sudo here; as root: apt-get install ${missing[*]})"
			return 1
		fi
		root=(sudo)
	fi
	say "installing ${missing[*]}"
	local log
	log=$(mktemp) || return 1
	if ! { "${root[@]}" apt-get -q -o Acquire::Retries=3 update &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
			-o DPkg::Lock::Timeout=120 install --no-install-recommends \
			"${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
	# On a machine with systemd, Debian starts a broker of its own when the package comes in.
	if [[ " ${missing[*]} " == *" mosquitto "* && -d /run/systemd/system ]]; then
		say "stopping the mosquitto service that came up with its package"
		"${root[@]}" systemctl stop mosquitto
	fi
	return 0
}

# Runs a command quietly: what it prints is shown only if it fails. On a terminal, ninja's one
# line of progress is worth seeing.
quietly() {
	local log status
	log=$(mktemp) || return 1
	"$@" >"$log" 2>&1
	status=$?
	((status == 0)) || tail -n 60 "$log" >&2
	rm -f "$log"
	return $status
}

# Configures a build folder if need be: FOLDER [CMAKE ARGUMENT...]. A folder that came along from
# another place, or that a failed attempt left, is begun anew.
configure() {
	local folder=$1 home fresh=()
	shift
	if [[ -f $folder/CMakeCache.txt ]]; then
		home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$folder/CMakeCache.txt")
		if [[ $home != "$PWD" || ! -e $folder/build.ninja && ! -e $folder/Makefile ]]; then
			fresh=(--fresh)
		fi
	else
		fresh=(--fresh)
	fi
	if [[ ${fresh[*]} ]] && command -v ninja >/dev/null; then
		fresh+=(-G Ninja)
	fi
	quietly cmake -B "$folder" -S . "${fresh[@]}" "$@"
}

# Builds in a configured folder: FOLDER [CMAKE ARGUMENT...].
build() {
	local folder=$1
	shift
	if [[ -t 1 ]]; then
		cmake --build "$folder" --parallel "$(nproc)" "$@"
	else
		quietly cmake --build "$folder" --parallel "$(nproc)" "$@"
	fi
}

# Who listens on PORT of an IPv4 ADDRESS, straight from the kernel's table (no ss on a bare
# machine): prints "by NAME (pid N)" as far as it can be known. False if nobody does.
port_taken() {
	local address=$1 port=$2 a b c d mine inode fd pid
	[[ $address == localhost ]] && address=127.0.0.1
	IFS=. read -r a b c d <<<"$address"
	mine=$(printf '%02X%02X%02X%02X' "$d" "$c" "$b" "$a" 2>/dev/null)
	# An address of all zeroes covers every other; IPv6's covers IPv4 as well.
	inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		awk -v port="$(printf ':%04X' "$port")" -v mine="$mine" '
			$4 == "0A" && substr($2, length($2) - 4) == port {
				at = substr($2, 1, length($2) - 5)
				if (at == mine || at ~ /^0+$/ || mine == "00000000" ||
				    at ~ ("FFFF0000" mine "$")) { print $10; exit }
			}')
	[[ $inode ]] || return 1
	for fd in /proc/[0-9]*/fd/*; do
		if [[ $(readlink "$fd" 2>/dev/null) == "socket:[$inode]" ]]; then
			pid=${fd#/proc/}
			pid=${pid%%/*}
			printf 'by %s (pid %s)' "$(cat "/proc/$pid/comm" 2>/dev/null)" "$pid"
			return 0
		fi
	done
	printf 'by another user'"'"'s program'
	return 0
}
