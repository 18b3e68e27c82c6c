#include "storage/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "storage/catalog_internal.h"

#define MAP_SIZE ((size_t)64 << 30) /* address space, not bytes on disk */
#define READERS_MAX 510
#define LOCK_FILE_SIZE 65536 /* room for more than READERS_MAX, which are 64 bytes each */
#define FILE_MODE 0640
#define RESERVE ((off_t)8 << 20)     /* disk space that the file has before it needs it */
#define RESERVE_LOW ((off_t)4 << 20) /* asked for again when there is less */
#define DISK_FULL_BYTES 65536

static const char *const table_names[ENTRY_TABLES] = {
	[ENTRY_PATHS] = "paths",     [ENTRY_PARTS] = "parts",   [ENTRY_IDS] = "ids",
	[ENTRY_VOLUMES] = "volumes", [ENTRY_META] = "meta",     [ENTRY_OWNERS] = "owners",
	[ENTRY_GRAVES] = "graves",   [ENTRY_EXPIRY] = "expiry",
};

const char *
catalog_table_name(enum entry_table table)
{
	return table_names[table];
}

int
catalog_error(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case EDQUOT:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_CURSOR_FULL: /* a page that stands above itself */
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

int
catalog_begin_read(struct catalog *catalog, MDB_txn **out)
{
	return catalog_error(mdb_txn_begin(catalog->env, NULL, MDB_RDONLY, out));
}

int
catalog_get(struct catalog *catalog, MDB_txn *txn, enum entry_table table,
	    const struct entry_key *key, MDB_val *value)
{
	MDB_val k = {key->length, (void *)(uintptr_t)key->bytes};
	int err = catalog_error(mdb_get(txn, catalog->tables[table], &k, value));

	if (err == 0 &&
	    !entry_intact(table, key->bytes, key->length, value->mv_data, value->mv_size))
		err = -EBADMSG;
	return err;
}

int
catalog_put(struct catalog *catalog, enum entry_table table, const struct entry_key *key,
	    unsigned char *value, size_t length)
{
	MDB_val k = {key->length, (void *)(uintptr_t)key->bytes};
	MDB_val v = {length, value};

	entry_seal(table, key->bytes, key->length, value, length);
	return catalog_error(mdb_put(catalog->txn, catalog->tables[table], &k, &v, 0));
}

int
catalog_delete(struct catalog *catalog, enum entry_table table, const struct entry_key *key)
{
	MDB_val k = {key->length, (void *)(uintptr_t)key->bytes};
	int rc = mdb_del(catalog->txn, catalog->tables[table], &k, NULL);

	return rc == MDB_NOTFOUND ? 0 : catalog_error(rc);
}

/* ---- opening --------------------------------------------------------------------- */

/* LMDB writes its lock file through a mapping, where a full disk is a SIGBUS: the blocks must be
 * there before. Closing this descriptor would drop LMDB's lock, so this comes first. */
static int
prepare_lock_file(const char *path)
{
	char name[PATH_MAX];
	int n = snprintf(name, sizeof(name), "%s-lock", path);
	int fd, err;

	if (n < 0 || (size_t)n >= sizeof(name))
		return -ENAMETOOLONG;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		return -errno;
	do
		err = posix_fallocate(fd, 0, LOCK_FILE_SIZE);
	while (err == EINTR);
	close(fd);
	return -err;
}

/* The bytes that the catalog's file must have: LMDB reads it through a mapping. */
static int
file_shortage(struct catalog *catalog, int *fd, uint64_t *size, bool *is_short)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int err = catalog_error(mdb_env_info(catalog->env, &info));

	if (err == 0)
		err = catalog_error(mdb_env_stat(catalog->env, &stat));
	if (err == 0)
		err = catalog_error(mdb_env_get_fd(catalog->env, fd));
	if (err == 0 && fstat(*fd, &st) != 0)
		err = -errno;
	if (err != 0)
		return err;
	*size = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
	*is_short = (uint64_t)st.st_size < *size;
	return 0;
}

/* A file that was cut off would be a SIGBUS later. */
static int
check_file_size(struct catalog *catalog)
{
	uint64_t size;
	bool is_short;
	int fd, err = file_shortage(catalog, &fd, &size, &is_short);

	return err == 0 && is_short ? -EBADMSG : err;
}

/* Keeps disk space behind the end of the file, so that a full disk does not keep the last records of the
 * volumes out of the catalog, at the next start of all times. Not having it is no error. */
static void
reserve_space(struct catalog *catalog)
{
	uint64_t size;
	bool is_short;
	int fd;

	if (file_shortage(catalog, &fd, &size, &is_short) != 0 ||
	    (off_t)size + RESERVE_LOW <= catalog->reserved)
		return;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)size, RESERVE) == 0)
		catalog->reserved = (off_t)size + RESERVE;
}

/* LMDB need not have written the last pages it counts, if they are free. The file gets its full
 * size after every commit, so that check_file_size can tell. Costs no space; if it fails, all
 * that is lost is that the next start may rebuild the catalog. */
static void
complete_file_size(struct catalog *catalog)
{
	uint64_t size;
	bool is_short;
	int fd;

	if (file_shortage(catalog, &fd, &size, &is_short) == 0 && is_short &&
	    ftruncate(fd, (off_t)size) != 0)
		return;
}

int
catalog_get_number(struct catalog *catalog, MDB_txn *txn, const char *word, uint64_t *number)
{
	struct entry_key key;
	MDB_val value;
	int err;

	entry_key_word(word, &key);
	err = catalog_get(catalog, txn, ENTRY_META, &key, &value);
	return err != 0 ? err : entry_decode_number(value.mv_data, value.mv_size, number);
}

int
catalog_put_number(struct catalog *catalog, const char *word, uint64_t number)
{
	unsigned char value[ENTRY_VALUE_MAX];
	struct entry_key key;

	entry_key_word(word, &key);
	return catalog_put(catalog, ENTRY_META, &key, value, entry_encode_number(number, value));
}

/* Opens the table of tables' entries, with MDB_CREATE in FLAGS those that are missing. */
static int
open_tables(struct catalog *catalog, unsigned flags)
{
	for (int i = 0; i < ENTRY_TABLES; i++) {
		int rc = mdb_dbi_open(catalog->txn, table_names[i], flags, &catalog->tables[i]);

		if (rc != 0)
			return rc == MDB_NOTFOUND ? -EBADMSG : catalog_error(rc);
	}
	return 0;
}

static int
check_format(struct catalog *catalog)
{
	uint64_t format;
	int err = catalog_get_number(catalog, catalog->txn, "format", &format);

	if (err != 0)
		return err == -ENOENT ? -EBADMSG : err;
	if (format > CATALOG_FORMAT)
		return -EPROTO;
	return format == CATALOG_FORMAT ? 0 : -EBADMSG;
}

/* Whether nothing was ever stored in the environment. */
static int
is_empty(struct catalog *catalog, bool *empty)
{
	MDB_stat stat;
	int err = catalog_error(mdb_env_stat(catalog->env, &stat));

	if (err == 0)
		*empty = stat.ms_entries == 0;
	return err;
}

/* Reads what is there; with CREATE an empty environment becomes an empty catalog. */
static int
open_contents(struct catalog *catalog, bool create)
{
	bool empty;
	int err = is_empty(catalog, &empty);

	if (err == 0)
		err = catalog_begin(catalog);
	if (err != 0)
		return err;
	err = open_tables(catalog, create && empty ? MDB_CREATE : 0);
	if (err == 0 && create && empty)
		err = catalog_put_number(catalog, "format", CATALOG_FORMAT);
	if (err == 0)
		err = check_format(catalog);
	if (err == 0)
		return catalog_commit(catalog);
	catalog_abort(catalog);
	return err;
}

/* An environment on file PATH, opened with FLAGS. CATALOG must be closed, also after an error. */
static int
open_environment(struct catalog *catalog, const char *path, unsigned flags)
{
	int err = catalog_error(mdb_env_create(&catalog->env));

	if (err == 0)
		err = catalog_error(mdb_env_set_maxdbs(catalog->env, ENTRY_TABLES));
	if (err == 0)
		err = catalog_error(mdb_env_set_mapsize(catalog->env, MAP_SIZE));
	if (err == 0)
		err = catalog_error(mdb_env_set_maxreaders(catalog->env, READERS_MAX));
	if (err == 0)
		err = catalog_error(mdb_env_open(catalog->env, path,
						 flags | MDB_NOSUBDIR | MDB_NOTLS, FILE_MODE));
	return err == 0 ? check_file_size(catalog) : err;
}

int
catalog_open(const char *path, bool create, bool sync, struct catalog **out)
{
	struct catalog *catalog;
	struct stat st;
	int err;

	if (!create && stat(path, &st) != 0)
		return -errno;
	catalog = calloc(1, sizeof(*catalog));
	if (catalog == NULL)
		return -ENOMEM;
	err = prepare_lock_file(path);
	if (err == 0)
		err = open_environment(catalog, path, sync ? 0 : MDB_NOSYNC);
	if (err == 0) /* slots of a process that was killed */
		err = catalog_clear_readers(catalog);
	if (err == 0)
		err = open_contents(catalog, create);
	if (err == 0)
		reserve_space(catalog);
	if (err != 0) {
		catalog_close(&catalog);
		return err;
	}
	*out = catalog;
	return 0;
}

int
catalog_open_to_read(const char *path, bool alone, struct catalog **out)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	int err;

	if (catalog == NULL)
		return -ENOMEM;
	err = open_environment(catalog, path, MDB_RDONLY | (alone ? MDB_NOLOCK : 0));
	if (err == 0)
		err = catalog_error(mdb_txn_begin(catalog->env, NULL, MDB_RDONLY, &catalog->txn));
	if (err == 0)
		err = open_tables(catalog, 0);
	if (err == 0)
		err = check_format(catalog);
	if (err == 0) { /* a commit, so that the tables stay open */
		err = catalog_error(mdb_txn_commit(catalog->txn));
		catalog->txn = NULL;
	}
	if (err != 0) {
		catalog_close(&catalog);
		return err;
	}
	*out = catalog;
	return 0;
}

int
catalog_clear_readers(struct catalog *catalog)
{
	return catalog_error(mdb_reader_check(catalog->env, NULL));
}

void
catalog_close(struct catalog **catalogp)
{
	struct catalog *catalog = *catalogp;

	*catalogp = NULL;
	if (catalog == NULL)
		return;
	if (catalog->txn != NULL)
		catalog_abort(catalog);
	if (catalog->env != NULL)
		mdb_env_close(catalog->env);
	free(catalog);
}

/* ---- write transactions ---------------------------------------------------------- */

int
catalog_begin(struct catalog *catalog)
{
	CHECK(catalog->txn == NULL);
	return catalog_error(mdb_txn_begin(catalog->env, NULL, 0, &catalog->txn));
}

/* LMDB calls a short write EIO, and a disk that fills up begins with one. */
static bool
is_disk_full(struct catalog *catalog)
{
	struct statvfs st;
	int fd;

	return mdb_env_get_fd(catalog->env, &fd) == 0 && fstatvfs(fd, &st) == 0 &&
	       st.f_bavail * st.f_frsize < DISK_FULL_BYTES;
}

int
catalog_commit(struct catalog *catalog)
{
	int err = catalog_write_changes(catalog);

	if (err != 0) {
		catalog_abort(catalog);
		return err;
	}
	err = catalog_error(mdb_txn_commit(catalog->txn)); /* frees it in any case */
	catalog->txn = NULL;
	catalog_forget_changes(catalog);
	if (err == 0)
		complete_file_size(catalog);
	else if (err == -EIO && is_disk_full(catalog))
		err = -ENOSPC;
	return err;
}

void
catalog_abort(struct catalog *catalog)
{
	mdb_txn_abort(catalog->txn);
	catalog->txn = NULL;
	catalog_forget_changes(catalog);
}
