/* The files of the page, as the build packed them: read-only data with a symbol at each end. */
#define ASSET(symbol, path, file, sum)                                                  \
	.global asset_##symbol;                                                         \
	.global asset_##symbol##_end;                                                   \
	asset_##symbol: .incbin file;                                                   \
	asset_##symbol##_end:
	.section .rodata
#include "assets.inc"
	.section .note.GNU-stack, "", %progbits
