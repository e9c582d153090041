// Preloaded into user-mode Linux. Its kernel (6.1) has room for a processor's extended state up to AVX-512, and sets that much of a
// process's registers. Since some processors have more (AMX), the machine's kernel takes nothing but the whole state
// (arch/x86/kernel/fpu/regset.c, xstateregs_set), and user-mode Linux panics before its first process runs. What it has no
// room for is put back here as it was.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

// AMX's tiles take 8 KiB of it.
static char whole[1 << 16];

static long (*next)(enum __ptrace_request, ...);

__attribute__((constructor)) static void find_next(void) {
	next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...) {
	va_list arguments;
	va_start(arguments, request);
	int process = va_arg(arguments, int);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
		const struct iovec *part = data;
		struct iovec all = { whole, sizeof whole };
		if (next(PTRACE_GETREGSET, process, address, &all) == 0 && part->iov_len < all.iov_len) {
			memcpy(whole, part->iov_base, part->iov_len);
			return next(request, process, address, &all);
		}
	}
	return next(request, process, address, data);
}
