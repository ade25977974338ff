package org.junit

annotation class Test

object Assert {
    fun assertEquals(expected: Any?, actual: Any?) = assertEquals("", expected, actual)
    fun assertEquals(message: String, expected: Any?, actual: Any?) =
        check(expected == actual) { "$message: $actual in place of $expected" }
}
