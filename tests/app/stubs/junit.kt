package org.junit

annotation class Test

object Assert {
    fun assertEquals(expected: Any?, actual: Any?) {}
    fun assertEquals(message: String, expected: Any?, actual: Any?) {}
}
