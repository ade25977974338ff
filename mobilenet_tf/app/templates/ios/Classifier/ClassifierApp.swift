import AVFoundation
import PhotosUI
import SwiftUI

@main
struct ClassifierApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}

/// What the screen shows. The model is used on `queue` alone.
@MainActor
final class Screen: ObservableObject {
    @Published var prediction: Prediction?
    @Published var message = ""
    @Published var status = "Self-test is running"
    @Published var failed = false
    @Published var ready = false
    @Published var running = false
    let camera: Camera
    private let queue = DispatchQueue(label: "classifier")
    private var classifier: Classifier?

    init() {
        camera = Camera(queue: queue)
        queue.async {
            let outcome = Result { () throws -> (Classifier, Int, [String]) in
                let classifier = try Classifier()
                let test = try runSelfTest(classifier)
                return (classifier, test.count, test.faults)
            }
            Task { @MainActor in self.begin(outcome) }
        }
    }

    private func begin(_ outcome: Result<(Classifier, Int, [String]), Error>) {
        switch outcome {
        case .success(let (classifier, count, faults)):
            self.classifier = classifier
            ready = true
            failed = !faults.isEmpty
            status = faults.isEmpty
                ? "Self-test passed: \(count) images give the same answers as on the computer that made this."
                : "Self-test failed. \(faults.joined(separator: "; "))"
            camera.onFrame = { [weak self] frame in
                guard let pixels = readPixels(frame) else { return }
                self?.show(Result { try classifier.classify(pixels) })
            }
        case .failure(let error):
            failed = true
            status = "The model cannot run here: \(error.localizedDescription)"
        }
    }

    func toggleCamera() async {
        if running {
            camera.stop()
            running = false
        } else if await AVCaptureDevice.requestAccess(for: .video) {
            do {
                try camera.start()
                running = true
            } catch {
                message = "The camera cannot be used: \(error.localizedDescription)"
            }
        } else {
            message = "The camera is not allowed. Allow it in the settings, or pick an image."
        }
    }

    func classify(_ item: PhotosPickerItem) async {
        if running { await toggleCamera() }
        let data = try? await item.loadTransferable(type: Data.self)
        guard let pixels = data.flatMap({ UIImage(data: $0) }).flatMap(readPixels), let classifier else {
            message = "This is no image that can be read."
            return
        }
        queue.async { self.show(Result { try classifier.classify(pixels) }) }
    }

    nonisolated private func show(_ result: Result<Prediction, Error>) {
        Task { @MainActor in
            switch result {
            case .success(let prediction): (self.prediction, self.message) = (prediction, "")
            case .failure(let error): self.message = error.localizedDescription
            }
        }
    }
}
