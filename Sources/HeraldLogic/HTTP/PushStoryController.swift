import HeraldCore
import HeraldWire
import Hummingbird

/// `GET /v1/pushes/{id}`: what became of a push that this process took.
struct PushStoryController: Sendable {
    /// This process's name.
    let process: String
    /// What is known of a push; nil: nothing, or nothing any more.
    let story: @Sendable (PushID) -> PushStory?

    var endpoints: [Endpoint] {
        [
            Endpoint(.get, "/v1/pushes/{id}") { (_, parameters) async throws(Problem) in
                try tell(parameters.id(0, PushID.init))
            }
        ]
    }

    private func tell(_ id: PushID) throws(Problem) -> Response {
        guard let story = story(id) else {
            throw Problem(
                .notFound,
                "unknown_push",
                "\(process) does not know the push \(id): another process took it, it was refused before it was"
                    + " sent, or it is too long ago. A push is known to the process that took it, while it is among"
                    + " its last ones"
            )
        }
        return .json { PushStoryJSON.write(story, to: &$0) }
    }
}
