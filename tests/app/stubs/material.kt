package androidx.compose.material3

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

class Color
class TextStyle
class ColorScheme(val error: Color = Color(), val onSurfaceVariant: Color = Color())
class Typography(val bodySmall: TextStyle = TextStyle(), val headlineSmall: TextStyle = TextStyle())

object MaterialTheme {
    val colorScheme = ColorScheme()
    val typography = Typography()
}

fun darkColorScheme() = ColorScheme()
fun lightColorScheme() = ColorScheme()

@Composable
fun MaterialTheme(colorScheme: ColorScheme, content: @Composable () -> Unit) = content()

@Composable
fun Surface(modifier: Modifier = Modifier, content: @Composable () -> Unit) = content()

@Composable
fun Text(text: String, color: Color = Color(), style: TextStyle = TextStyle()) {}

@Composable
fun Button(onClick: () -> Unit, enabled: Boolean = true, content: @Composable () -> Unit) = content()

@Composable
fun OutlinedButton(onClick: () -> Unit, enabled: Boolean = true, content: @Composable () -> Unit) = content()

@Composable
fun LinearProgressIndicator(progress: () -> Float, modifier: Modifier = Modifier) {}
