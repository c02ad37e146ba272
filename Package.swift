// swift-tools-version: 6.2
import PackageDescription

/// Every target is compiled with the language's coming defaults on, so that no import, existential or
/// visibility is left to chance.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "herald",
    products: [
        .executable(name: "herald", targets: ["herald"]),
        .library(name: "HeraldClient", targets: ["HeraldClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.34.1"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0", traits: []),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CHiredis",
            path: "Modules/CHiredis",
            providers: [.apt(["libhiredis-dev"])]
        ),
        .systemLibrary(name: "CEpoll", path: "Modules/CEpoll"),
        .systemLibrary(name: "COpenSSL", path: "Modules/COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", path: "Modules/CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CProcess", path: "Modules/CProcess"),
        .systemLibrary(name: "CValgrind", path: "Modules/CValgrind"),
        .target(name: "HeraldCore", swiftSettings: strict),
        .target(
            name: "HeraldWire",
            dependencies: ["HeraldCore"],
            exclude: ["envelope.proto"],
            swiftSettings: strict
        ),
        .target(
            name: "HeraldRedis",
            dependencies: [
                "CHiredis", "HeraldCore", "HeraldWire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [.embedInCode("Scripts")],
            swiftSettings: strict
        ),
        .target(
            name: "HeraldLogic",
            dependencies: [
                "HeraldCore", "HeraldWire",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [.embedInCode("openapi.yaml")],
            swiftSettings: strict
        ),
        .target(name: "HeraldSockets", dependencies: ["CEpoll", "COpenSSL", "CZlib"], swiftSettings: strict),
        .target(
            name: "HeraldCloud",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldSockets",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "HeraldClient",
            dependencies: [
                "HeraldCore", "HeraldWire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "herald",
            dependencies: [
                "CEpoll", "CProcess", "HeraldCore", "HeraldWire", "HeraldRedis", "HeraldLogic",
                "HeraldSockets", "HeraldCloud", "HeraldClient",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ],
            resources: [.embedInCode("redis.conf")],
            swiftSettings: strict
        ),
        .executableTarget(name: "conformance", dependencies: ["HeraldSockets"], swiftSettings: strict),
        .executableTarget(
            name: "costs",
            dependencies: [
                "CValgrind", "HeraldCore", "HeraldWire", "HeraldSockets", "HeraldCloud", "HeraldLogic",
                "HeraldTesting",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "HeraldTesting",
            dependencies: ["CProcess", "HeraldCore"],
            path: "Tests/HeraldTesting",
            swiftSettings: strict
        ),
        .testTarget(name: "HeraldCoreTests", dependencies: ["HeraldCore"], swiftSettings: strict),
        .testTarget(
            name: "HeraldWireTests",
            dependencies: ["HeraldCore", "HeraldTesting", "HeraldWire"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldSocketsTests",
            dependencies: ["COpenSSL", "CZlib", "HeraldSockets", "HeraldTesting", "conformance"],
            exclude: ["clients"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldRedisTests",
            dependencies: [
                "CHiredis", "HeraldCore", "HeraldRedis", "HeraldTesting",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldLogicTests",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldLogic", "HeraldTesting",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldCloudTests",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldSockets", "HeraldCloud", "HeraldTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldClientTests",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldClient", "HeraldTesting",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HeraldProgramTests",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldLogic", "HeraldTesting", "herald",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "HeraldCore", "HeraldWire", "HeraldRedis", "HeraldClient", "HeraldTesting", "herald",
            ],
            exclude: ["clients"],
            swiftSettings: strict
        ),
        .testTarget(name: "CostsTests", dependencies: ["costs"], swiftSettings: strict),
        .testTarget(name: "TidyTests", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
