//! What a loader finds: the rules of glibc's and musl's `ld.so`, played through without loading anything.
