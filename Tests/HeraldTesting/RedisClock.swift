// The clock of a private Redis: the machine's, and ahead of it by what a test has let pass (scripts/redis-clock.c).

import Foundation
import Glibc

public enum RedisClock {
    /// The library that gives Redis this clock; built once a process, and deleted when that ends.
    private static let library = Result { () throws(OwnRedis.Failure) in
        let source = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../scripts/redis-clock.c")
        let built = "/tmp/herald-redis-clock-\(getpid()).so"
        atexit { unlink("/tmp/herald-redis-clock-\(getpid()).so") }
        let words = ["/usr/bin/env", "clang", "-O1", "-fPIC", "-shared", "-o", built, source.path]
        guard (try? OwnRedis.run(words)) == 0 else {
            throw OwnRedis.Failure(description: "Redis's clock was not built: is clang on the PATH?")
        }
        return built
    }

    /// What a redis-server in this folder is started with. Its clock goes on from where it was.
    static func environment(in folder: String) throws -> [String: String] {
        let path = file(in: folder)
        if access(path, F_OK) != 0 { try store(0, in: folder) }
        return ["LD_PRELOAD": try library.get(), "HERALD_TEST_CLOCK": path]
    }

    /// Lets time pass at once, for the server in this folder.
    public static func pass(_ duration: Duration, in folder: String) throws {
        let data = try Data(contentsOf: URL(filePath: file(in: folder)))
        let before = data.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
        try store(before + Int64(duration / .microseconds(1)), in: folder)
    }

    private static func file(in folder: String) -> String { folder + "/clock" }

    /// Writes over the bytes that the server has mapped: a new file would not be the one it reads.
    private static func store(_ microseconds: Int64, in folder: String) throws {
        let descriptor = open(file(in: folder), O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        var value = microseconds
        guard pwrite(descriptor, &value, 8, 0) == 8 else {
            throw OwnRedis.Failure(description: "the clock of \(folder) cannot be set: errno \(errno)")
        }
    }
}
