/* bytes.h - integers in files: little-endian in records, big-endian in sorted keys. Pure. */
#ifndef SPILLWAY_BASE_BYTES_H
#define SPILLWAY_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Each put writes V at P and returns the byte after it. */
static inline unsigned char *
put_le16(unsigned char *p, uint16_t v)
{
	v = htole16(v);
	return (unsigned char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static inline unsigned char *
put_le32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	return (unsigned char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static inline unsigned char *
put_le64(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	return (unsigned char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static inline unsigned char *
put_be32(unsigned char *p, uint32_t v)
{
	v = htobe32(v);
	return (unsigned char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static inline unsigned char *
put_be64(unsigned char *p, uint64_t v)
{
	v = htobe64(v);
	return (unsigned char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static inline uint16_t
get_le16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t
get_le32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
get_le64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline uint32_t
get_be32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t
get_be64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

#endif
