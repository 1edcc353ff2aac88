//! All that depends on the machine: x86_64 (System V ABI, AMD64 supplement; syscall(2)).

use core::arch::{asm, naked_asm};

use crate::{Handover, begin, end};

/// `e_machine` of this machine's files.
pub(crate) const MACHINE: u16 = 62;
/// How Nix names the system, with `-` as `_`, in names of variables.
pub(crate) const SYSTEM: &str = "x86_64_linux";
/// The size of a page, should the kernel not say.
pub(crate) const PAGE_SIZE: usize = 4096;
/// Bytes to which the stack is aligned where a program begins.
pub(crate) const STACK_ALIGN: usize = 16;

/// Bytes between the block that the kernel left and our own frames: the block can move down by as much.
///
/// No more than most search paths need: each page of the stack that is touched for the first time costs a fault.
pub(crate) const ROOM: usize = 1024;

/// Numbers of the system calls (asm/unistd_64.h).
pub(crate) mod number {
    pub(crate) const WRITE: usize = 1;
    pub(crate) const OPEN: usize = 2;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const STAT: usize = 4;
    pub(crate) const LSTAT: usize = 6;
    pub(crate) const LSEEK: usize = 8;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MPROTECT: usize = 10;
    pub(crate) const PREAD: usize = 17;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const READLINK: usize = 89;
    pub(crate) const EXIT_GROUP: usize = 231;
}

/// Words of `struct stat`, and which of them hold the mode (low half) and the owner (high half): `st_mode` and `st_uid` lie
/// side by side at byte 24.
pub(crate) const STAT_WORDS: usize = 18;
pub(crate) const STAT_MODE_AND_OWNER: usize = 3;

/// Where the kernel starts the shim, as a program's loader or as a program.
///
/// First our own relocations, all of them `R_X86_64_RELATIVE` (a test looks), before compiled code, which may need them, runs;
/// then what they were written to becomes read-only. Symbols are the linker script's; the file is linked at 0.
///
/// The stack is left as it is, but for what [`begin`] changes; the registers are zero, as the kernel leaves them for a
/// loader. `rdx` matters: a program takes what is in it for a function to call at exit.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "endbr64",
        "xor ebp, ebp",
        "lea r8, [rip + __ehdr_start]",
        "lea rsi, [rip + __rela_start]",
        "lea rcx, [rip + __rela_end]",
        "2:",
        "cmp rsi, rcx",
        "jae 3f",
        "mov rdi, [rsi]",
        "mov rax, [rsi + 16]",
        "add rax, r8",
        "mov [r8 + rdi], rax",
        "add rsi, 24",
        "jmp 2b",
        "3:",
        "mov eax, {mprotect}",
        "lea rdi, [rip + __relro_start]",
        "lea rsi, [rip + __relro_end]",
        "sub rsi, rdi",
        "mov edx, 1",
        "syscall",
        "mov rdi, rsp",
        "sub rsp, {room}",
        "call {begin}",
        "mov rsp, rdx",
        "xor edx, edx",
        "xor ecx, ecx",
        "xor esi, esi",
        "xor edi, edi",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "xor r11d, r11d",
        "jmp rax",
        mprotect = const number::MPROTECT,
        room = const ROOM,
        begin = sym begin,
    )
}

/// Where the real loader goes when its work is done, in place of the program's entry: puts the environment back, then goes
/// to the program with every general register as the loader left it (`rdx` holds the function to call at exit).
///
/// The entry waits in the red zone, below the stack pointer, where no signal handler writes.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        "endbr64",
        "sub rsp, 8",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "lea rdi, [rsp + 80]",
        "call {end}",
        "mov [rsp + 72], rax",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "add rsp, 8",
        "jmp qword ptr [rsp - 8]",
        end = sym end,
    )
}

/// The address of [`trampoline`].
pub(crate) fn trampoline_address() -> usize {
    trampoline as *const () as usize
}

/// The address of our own ELF header, at which the linker script lets the shim begin.
pub(crate) fn own_header() -> *const u8 {
    let address: *const u8;
    // SAFETY: this computes an address, and touches no memory.
    unsafe {
        asm!(
            "lea {}, [rip + __ehdr_start]",
            out(reg) address,
            options(nomem, nostack, preserves_flags, pure)
        );
    }
    address
}

/// A system call of up to six arguments: what the kernel gives, which is an error where it is above -4096.
///
/// # Safety
///
/// As the call itself: what it reads and writes must be there.
#[inline]
pub(crate) unsafe fn syscall(number: usize, arguments: [usize; 6]) -> usize {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result;
    // SAFETY: the kernel keeps every register but these; for memory the caller answers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

// What the compiler calls by itself, and would take from a libc.

/// `memcpy(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!("mov rax, rdi", "mov rcx, rdx", "rep movsb", "ret")
}

/// `memmove(3)`: from the end where the target begins inside the source.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdx",
        "mov r8, rdi",
        "sub r8, rsi",
        "cmp r8, rdx",
        "jb 2f",
        "rep movsb",
        "ret",
        "2:",
        "lea rsi, [rsi + rdx - 1]",
        "lea rdi, [rdi + rdx - 1]",
        "std",
        "rep movsb",
        "cld",
        "ret",
    )
}

/// `memset(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!("mov r8, rdi", "mov eax, esi", "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret")
}

/// `memcmp(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    naked_asm!(
        "xor eax, eax",
        "mov rcx, rdx",
        "test rcx, rcx",
        "jz 2f",
        "repe cmpsb",
        "je 2f",
        "movzx eax, byte ptr [rdi - 1]",
        "movzx ecx, byte ptr [rsi - 1]",
        "sub eax, ecx",
        "2:",
        "ret",
    )
}

/// `bcmp(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// `strlen(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    naked_asm!("xor eax, eax", "2:", "cmp byte ptr [rdi + rax], 0", "je 3f", "inc rax", "jmp 2b", "3:", "ret")
}

/// What [`begin`] gives to [`_start`], in `rax` and `rdx`.
const _: () = assert!(core::mem::size_of::<Handover>() == 16);
