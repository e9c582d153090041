//! Returns unused memory to the kernel. Must not know what it was used for.
#![allow(unsafe_code)]
use std::sync::Once;

/// Returns freed memory to the kernel, and on the first call also the pages of the program that only its start needed.
///
/// glibc itself returns only what lies at the very end of its heap, so that after a burst of changes most of the memory
/// it used would stay with the process permanently (malloc_trim(3)). Takes some milliseconds.
pub fn give_back() {
    // SAFETY: it takes no pointer, and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
    static STARTED: Once = Once::new();
    STARTED.call_once(unmap_program);
}

/// Removes the program's code and constants from the page tables. Pages that are needed again come back from the page
/// cache, at about a microsecond per 64 KiB; half of them were only needed at the start (options, the client's set-up,
/// plugins).
fn unmap_program() {
    // SAFETY: the kernel put the address and number of this program's headers there (getauxval(3)); they stay mapped.
    let headers = unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let number = libc::getauxval(libc::AT_PHNUM) as usize;
        if first.is_null() {
            return;
        }
        std::slice::from_raw_parts(first, number)
    };
    let Some(own) = headers.iter().find(|header| header.p_type == libc::PT_PHDR) else { return };
    let base = headers.as_ptr() as u64 - own.p_vaddr;
    // SAFETY: it takes no pointer and always returns a value.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let written = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_W != 0;
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    for header in loaded.filter(|header| !written(header)) {
        let (start, end) = (base + header.p_vaddr, base + header.p_vaddr + header.p_memsz);
        let start = start - start % page;
        let length = end.next_multiple_of(page) - start;
        // SAFETY: a private mapping of the program's file that is never written holds nothing but what is in the file, so
        // that the next access finds the same again (madvise(2), MADV_DONTNEED). No other segment has a part in its pages.
        unsafe { libc::madvise(start as *mut libc::c_void, length as usize, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_of_files_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("RssFile");
        line.trim_end_matches("kB").trim().parse().expect("a number")
    }

    #[test]
    fn the_program_goes_on_without_the_pages_it_started_with() {
        let before = resident_of_files_kib();
        give_back();
        let after = resident_of_files_kib();
        assert!(after < before, "{after} KiB of files after {before} KiB");
        assert_eq!("still here".len(), std::hint::black_box(10));
    }
}
