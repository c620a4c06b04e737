namespace ModelPack.Numbers;

/// <summary>Arguments of specs that are one of a few words.</summary>
internal static class SpecChoice
{
    /// <summary>The word given for <paramref name="key"/>, or <paramref name="fallback"/>.</summary>
    /// <exception cref="ModelPackException">MP1022: another word.</exception>
    public static string Of(UnitSpec spec, string key, string fallback, params ReadOnlySpan<string> words)
    {
        string text = spec.Text(key, fallback);
        return words.Contains(text)
            ? text
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': {key}={text} is not one of {string.Join(", ", words.ToArray())}");
    }
}
