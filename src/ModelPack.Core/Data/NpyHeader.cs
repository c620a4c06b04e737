using System.Globalization;

namespace ModelPack;

/// <summary>
/// The dictionary in a .npy header: a Python literal with exactly the keys <c>descr</c>, <c>fortran_order</c> and <c>shape</c>. Only what NumPy
/// writes for arrays of plain numbers is understood: strings without escapes, True/False, a tuple of integers.
/// </summary>
internal sealed record NpyHeader(string Descr, bool FortranOrder, Shape Shape)
{
    /// <param name="text">The header.</param>
    /// <param name="offsetBytes">Where it starts in the file, for messages.</param>
    /// <exception cref="ModelPackException">MP1063, MP1066.</exception>
    public static NpyHeader Parse(string text, long offsetBytes)
    {
        var scanner = new Scanner(text, offsetBytes);
        string? descr = null;
        bool? fortranOrder = null;
        Shape? shape = null;
        scanner.Expect('{');
        while (!scanner.TryTake('}'))
        {
            string key = scanner.String();
            scanner.Expect(':');
            switch (key)
            {
                case "descr" when descr is null:
                    descr = scanner.Descr();
                    break;
                case "fortran_order" when fortranOrder is null:
                    fortranOrder = scanner.Bool();
                    break;
                case "shape" when shape is null:
                    shape = scanner.Tuple();
                    break;
                default:
                    throw scanner.Fail($"key '{key}' is unknown or given twice");
            }

            if (!scanner.TryTake(','))
            {
                scanner.Expect('}');
                break;
            }
        }

        scanner.ExpectEnd();
        return descr is null || fortranOrder is null || shape is null
            ? throw scanner.Fail("descr, fortran_order or shape is missing")
            : new NpyHeader(descr, fortranOrder.Value, shape.Value);
    }

    private ref struct Scanner(string text, long offsetBytes)
    {
        private int _at;

        public void Expect(char c)
        {
            if (!TryTake(c))
            {
                throw Fail($"'{c}' is missing");
            }
        }

        public bool TryTake(char c)
        {
            SkipSpace();
            if (_at < text.Length && text[_at] == c)
            {
                _at++;
                return true;
            }

            return false;
        }

        public void ExpectEnd()
        {
            SkipSpace();
            if (_at != text.Length)
            {
                throw Fail("text follows the dictionary");
            }
        }

        public string String()
        {
            char quote = TryTake('\'') ? '\'' : TryTake('"') ? '"' : throw Fail("a quoted string is missing");
            int end = text.IndexOf(quote, _at);
            if (end < 0 || text.AsSpan(_at, end - _at).ContainsAny('\\', '\n'))
            {
                throw Fail("a string has no end, or an escape");
            }

            string value = text[_at..end];
            _at = end + 1;
            return value;
        }

        public string Descr()
        {
            SkipSpace();
            return _at < text.Length && text[_at] is '[' or '('
                ? throw new ModelPackException(ErrorCodes.NpyDType, "the elements are structures, not plain numbers", offsetBytes: offsetBytes + _at)
                : String();
        }

        public bool Bool()
        {
            SkipSpace();
            foreach ((string word, bool value) in (ReadOnlySpan<(string, bool)>)[("True", true), ("False", false)])
            {
                if (text.AsSpan(_at).StartsWith(word, StringComparison.Ordinal))
                {
                    _at += word.Length;
                    return value;
                }
            }

            throw Fail("fortran_order is neither True nor False");
        }

        public Shape Tuple()
        {
            Expect('(');
            var dims = new List<long>();
            while (!TryTake(')'))
            {
                dims.Add(Integer());
                bool comma = TryTake(',');
                if (!comma && dims.Count == 1)
                {
                    throw Fail("a shape of one dimension needs a comma");
                }

                if (!comma)
                {
                    Expect(')');
                    break;
                }
            }

            return new Shape([.. dims]);
        }

        public readonly ModelPackException Fail(string detail) => new(ErrorCodes.NpyHeader, $"the .npy header is malformed: {detail}", offsetBytes: offsetBytes + _at);

        private long Integer()
        {
            SkipSpace();
            int end = _at;
            while (end < text.Length && char.IsAsciiDigit(text[end]))
            {
                end++;
            }

            if (!long.TryParse(text.AsSpan(_at, end - _at), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            {
                throw Fail("a dimension is not an integer from 0 to 2^63-1");
            }

            _at = end;
            return value;
        }

        private void SkipSpace()
        {
            while (_at < text.Length && text[_at] is ' ' or '\n' or '\t' or '\r')
            {
                _at++;
            }
        }
    }
}
