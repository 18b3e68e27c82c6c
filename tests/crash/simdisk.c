#include "tests/crash/simdisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct simdisk *
simdisk_new(uint64_t room)
{
	struct simdisk *disk = mmap(NULL, sizeof(*disk) + room, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (disk == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	disk->room = room;
	disk->deadline = UINT32_MAX;
	disk->nodes = 1;
	disk->node[0].is_directory = true;
	return disk;
}

uint64_t
simdisk_random(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15u);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}
