using System.Text;

namespace ModelPack.Cli;

/// <summary>Passes text on line by line without trailing blanks: tables pad their last column, files and pipes need not hold that.</summary>
internal sealed class TrimmedLines(TextWriter target) : TextWriter
{
    private readonly StringBuilder _line = new();

    public override Encoding Encoding => target.Encoding;

    public override void Write(char value)
    {
        if (value == '\n')
        {
            target.WriteLine(_line.ToString().TrimEnd());
            _line.Clear();
        }
        else
        {
            _line.Append(value);
        }
    }

    public override void Flush() => target.Flush();
}
