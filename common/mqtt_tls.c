#include "common/mqtt_tls.h"
#include "common/mqtt.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	TROUBLE_SIZE = 400,
	NAMES_SIZE = 200,
	VERDICT_MS =
		100, /* for the broker's word on our certificate: a round trip on a site's net */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char trouble[TROUBLE_SIZE];
static bool shaken; /* hands, in the newest attempt */

/* ---- listening to OpenSSL ---- */

int __real_SSL_connect(SSL *ssl);
int __wrap_SSL_connect(SSL *ssl);
int __real_SSL_read(SSL *ssl, void *out, int size);
int __wrap_SSL_read(SSL *ssl, void *out, int size);
int __real_X509_check_ip_asc(X509 *certificate, const char *address, unsigned flags);
int __wrap_X509_check_ip_asc(X509 *certificate, const char *address, unsigned flags);

static void note(const char *text)
{
	pthread_mutex_lock(&lock);
	snprintf(trouble, sizeof(trouble), "%s", text);
	pthread_mutex_unlock(&lock);
}

static void note_shaken(bool done)
{
	pthread_mutex_lock(&lock);
	shaken = done;
	pthread_mutex_unlock(&lock);
}

bool mqtt_tls_trouble(char *out, size_t size)
{
	pthread_mutex_lock(&lock);
	bool any = trouble[0] != '\0';
	if (any)
		snprintf(out, size, "%s", trouble);
	trouble[0] = '\0';
	pthread_mutex_unlock(&lock);
	return any;
}

bool mqtt_tls_shaken(void)
{
	pthread_mutex_lock(&lock);
	bool done = shaken;
	shaken = false;
	pthread_mutex_unlock(&lock);
	return done;
}

/* What the other side may complain of: RFC 8446, section 6.2. NULL: nothing that we know. */
static const char *alert_words(int alert)
{
	switch (alert) {
	case 40: /* handshake_failure: TLS 1.2's word for a missing certificate too */
		return "handshake failure; perhaps it wants a client certificate";
	case 42:
		return "it calls our certificate bad";
	case 43:
		return "it does not support our certificate";
	case 44:
		return "our certificate is revoked";
	case 45:
		return "our certificate has expired";
	case 46:
		return "it does not accept our certificate";
	case 48:
	case 51: /* decrypt_error: a CA of the same name, with another key */
		return "it does not know the CA of our certificate";
	case 70:
		return "it speaks another version of TLS";
	case 116:
		return "it wants a client certificate";
	default:
		return NULL;
	}
}

static void note_failure(const SSL *ssl, int rc)
{
	unsigned long error = ERR_peek_last_error();
	long verified = SSL_get_verify_result(ssl);
	char text[TROUBLE_SIZE];

	if (SSL_get_error(ssl, rc) != SSL_ERROR_SSL)
		return; /* not done yet, or a plain trouble of the socket */
	int reason = ERR_GET_REASON(error);
	if (verified != X509_V_OK && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		snprintf(text, sizeof(text), "the broker's certificate is not trusted: %s",
			X509_verify_cert_error_string(verified));
	} else if (reason > SSL_AD_REASON_OFFSET && alert_words(reason - SSL_AD_REASON_OFFSET)) {
		snprintf(text, sizeof(text), "the broker refuses us: %s",
			alert_words(reason - SSL_AD_REASON_OFFSET));
	} else {
		const char *words = ERR_reason_error_string(error);
		snprintf(text, sizeof(text), "TLS: %s%s", words ? words : "failed",
			reason == SSL_R_WRONG_VERSION_NUMBER ? "; is this a port without TLS?"
							     : "");
	}
	note(text);
}

/* With TLS 1.3 our side of the handshake ends before the broker has looked at our certificate. If
 * Paho sent its CONNECT now, a broker that refuses us would answer the unread bytes with a reset,
 * and the reset would overtake its reason. So its next word is awaited: session tickets, or the
 * reason. A broker that sends no tickets costs VERDICT_MS once a connection. */
static int await_verdict(SSL *ssl)
{
	struct pollfd wait = { .fd = SSL_get_fd(ssl), .events = POLLIN };
	char byte;

	if (SSL_version(ssl) != TLS1_3_VERSION || poll(&wait, 1, VERDICT_MS) <= 0)
		return 1;
	int rc = SSL_peek(ssl, &byte, 1);
	if (rc > 0 || SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ) {
		ERR_clear_error();
		return 1;
	}
	note_failure(ssl, rc);
	return rc;
}

int __wrap_SSL_connect(SSL *ssl)
{
	note_shaken(false);
	SSL_set_min_proto_version(ssl, TLS1_2_VERSION);
	int rc = __real_SSL_connect(ssl);
	if (rc == 1 && (rc = await_verdict(ssl)) == 1)
		note_shaken(true);
	else if (rc != 1)
		note_failure(ssl, rc);
	return rc;
}

int __wrap_SSL_read(SSL *ssl, void *out, int size)
{
	int rc = __real_SSL_read(ssl, out, size);
	if (rc <= 0)
		note_failure(ssl, rc);
	return rc;
}

static void add_name(char *out, const char *name)
{
	size_t len = strlen(out);

	snprintf(out + len, NAMES_SIZE - len, "%s%.80s", len > 0 ? ", " : "", name);
}

/* The names a certificate is for. They come from outside: only printable ones. */
static void list_names(X509 *certificate, char out[NAMES_SIZE])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char text[INET6_ADDRSTRLEN] = "";
		if (name->type == GEN_DNS && ASN1_STRING_length(name->d.dNSName) > 0)
			add_name(out, (const char *)ASN1_STRING_get0_data(name->d.dNSName));
		else if (name->type == GEN_IPADD && ASN1_STRING_length(name->d.iPAddress) == 4)
			add_name(out,
				inet_ntop(AF_INET, ASN1_STRING_get0_data(name->d.iPAddress), text,
					sizeof(text)));
		else if (name->type == GEN_IPADD && ASN1_STRING_length(name->d.iPAddress) == 16)
			add_name(out,
				inet_ntop(AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text,
					sizeof(text)));
	}
	GENERAL_NAMES_free(names);
	for (char *c = out; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* The last thing Paho tries with the host of the url, after X509_check_host failed. */
int __wrap_X509_check_ip_asc(X509 *certificate, const char *address, unsigned flags)
{
	char bare[INET6_ADDRSTRLEN], names[NAMES_SIZE], text[TROUBLE_SIZE];
	size_t len = strlen(address);

	if (address[0] == '[' && address[len - 1] == ']' && len - 2 < sizeof(bare)) {
		snprintf(bare, sizeof(bare), "%.*s", (int)len - 2, address + 1);
		address = bare;
	}
	int rc = __real_X509_check_ip_asc(certificate, address, flags);
	if (rc != 1) {
		list_names(certificate, names);
		snprintf(text, sizeof(text), "the broker's certificate is for %s, not for %.100s",
			names[0] ? names : "no name at all", address);
		note(text);
	}
	return rc;
}

/* ---- before a connection ---- */

static enum status open_pem(const char *path, FILE **out, struct why *why)
{
	*out = fopen(path, "re");
	if (!*out)
		return fail(why, STATUS_BAD_CONFIG, "%.200s: %s", path, strerror(errno));
	return STATUS_OK;
}

enum status mqtt_check_ca(const char *ca_file, struct why *why)
{
	FILE *in;
	enum status st = open_pem(ca_file, &in, why);

	if (st != STATUS_OK)
		return st;
	X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
	if (!certificate)
		st = fail(why, STATUS_BAD_CONFIG, "%.200s: holds no certificate (PEM)", ca_file);
	X509_free(certificate);
	fclose(in);
	ERR_clear_error();
	return st;
}

/* A key with a passphrase would ask for it on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)context;
	return 0;
}

static enum status read_key(const char *path, EVP_PKEY **out, struct why *why)
{
	struct stat info;
	FILE *in;
	enum status st = open_pem(path, &in, why);

	if (st != STATUS_OK)
		return st;
	if (fstat(fileno(in), &info) == 0 && (info.st_mode & (S_IROTH | S_IWOTH)))
		st = fail(why, STATUS_BAD_CONFIG, "%.200s: others may read or write it; chmod o-rw",
			path);
	else if (!(*out = PEM_read_PrivateKey(in, NULL, no_passphrase, NULL)))
		st = fail(
			why, STATUS_BAD_CONFIG, "%.200s: holds no key (PEM, no passphrase)", path);
	fclose(in);
	return st;
}

enum status mqtt_check_key(const char *cert_file, const char *key_file, struct why *why)
{
	FILE *in;
	EVP_PKEY *key = NULL;
	enum status st = open_pem(cert_file, &in, why);

	if (st != STATUS_OK)
		return st;
	X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	if (!certificate)
		st = fail(why, STATUS_BAD_CONFIG, "%.200s: holds no certificate (PEM)", cert_file);
	else
		st = read_key(key_file, &key, why);
	if (st == STATUS_OK && X509_check_private_key(certificate, key) != 1)
		st = fail(why, STATUS_BAD_CONFIG, "%.200s: is not the key of %.200s", key_file,
			cert_file);
	EVP_PKEY_free(key);
	X509_free(certificate);
	ERR_clear_error();
	return st;
}
