import HeraldCore
import Testing

@testable import HeraldLogic

struct PathTemplateTests {
    @Test(
        arguments: [
            ("/v1/nodes", "/v1/nodes", []), ("/v1/nodes", "/v1/nodes/", nil), ("/v1/nodes", "/v1/node", nil),
            ("/v1/nodes", "v1/nodes", nil), ("/v1/users/{user}", "/v1/users/a%2Fb", ["a%2Fb"]),
            ("/v1/users/{user}", "/v1/users/", [""]), ("/v1/users/{user}", "/v1/users", nil),
            ("/v1/users/{user}/connections/{key}", "/v1/users/a/connections/b", ["a", "b"]),
            ("/v1/users/{user}/connections/{key}", "/v1/users/a/connection/b", nil),
        ] as [(String, String, [Substring]?)]
    )
    func `a path is compared byte by byte`(template: String, path: String, parameters: [Substring]?) {
        #expect(PathTemplate(template).match(path) == parameters)
    }
}
