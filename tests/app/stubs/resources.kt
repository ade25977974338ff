// As the build makes it from res/values/strings.xml.
package app

object R {
    object string {
        const val pick_image = 1
        const val start_camera = 2
        const val stop_camera = 3
        const val unsure = 4
        const val latency = 5
        const val self_test_passed = 6
        const val self_test_failed = 7
        const val camera_denied = 8
        const val no_image = 9
        const val testing = 10
    }
}
