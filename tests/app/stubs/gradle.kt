// The parts of Gradle's Kotlin DSL that the project's scripts use; `libs` follows from its catalog.
package gradle

class Plugin { infix fun apply(wanted: Boolean) {} }
class Plugins {
    fun alias(id: String) = Plugin()
}
fun plugins(configure: Plugins.() -> Unit) = Plugins().configure()

class DefaultConfig {
    var applicationId: String? = null
    var minSdk: Int? = null
    var targetSdk: Int? = null
    var versionCode: Int? = null
    var versionName: String? = null
    var testInstrumentationRunner: String? = null
}
class BuildFeatures { var compose: Boolean? = null }
class AndroidResources { val noCompress: MutableCollection<String> = mutableListOf() }
class Android {
    var namespace: String? = null
    var compileSdk: Int? = null
    fun defaultConfig(configure: DefaultConfig.() -> Unit) = DefaultConfig().configure()
    fun buildFeatures(configure: BuildFeatures.() -> Unit) = BuildFeatures().configure()
    fun androidResources(configure: AndroidResources.() -> Unit) = AndroidResources().configure()
}
fun android(configure: Android.() -> Unit) = Android().configure()

class Kotlin { fun jvmToolchain(version: Int) {} }
fun kotlin(configure: Kotlin.() -> Unit) = Kotlin().configure()

class Dependencies {
    fun platform(module: String) = module
    fun implementation(module: String) {}
    fun testImplementation(module: String) {}
    fun androidTestImplementation(module: String) {}
}
fun dependencies(configure: Dependencies.() -> Unit) = Dependencies().configure()

class Repositories {
    fun google() {}
    fun mavenCentral() {}
    fun gradlePluginPortal() {}
}
enum class RepositoriesMode { FAIL_ON_PROJECT_REPOS }
class Management {
    var repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    fun repositories(configure: Repositories.() -> Unit) = Repositories().configure()
}
fun pluginManagement(configure: Management.() -> Unit) = Management().configure()
fun dependencyResolutionManagement(configure: Management.() -> Unit) = Management().configure()

class RootProject { var name = "" }
val rootProject = RootProject()
fun include(project: String) {}
