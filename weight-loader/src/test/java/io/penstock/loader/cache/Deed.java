package io.penstock.loader.cache;

/// Something that was done to a file system, in the order of its calls. Files and folders are known by numbers, since
/// their names change and are many.
sealed interface Deed {
    /// A new file or folder under a name.
    record Made(int folder, String name, int node, boolean isFolder) implements Deed {}

    /// One more name of a file.
    record Named(int folder, String name, int node) implements Deed {}

    record Removed(int folder, String name) implements Deed {}

    /// Whatever had the new name has it no longer.
    record Moved(int fromFolder, String fromName, int toFolder, String toName, int node) implements Deed {}

    record Written(int node, long position, byte[] bytes) implements Deed {}

    /// The file has that size now, in bytes.
    record Cut(int node, long size) implements Deed {}

    /// What was done to that file or folder before is on the disk.
    record Synced(int node) implements Deed {}
}
