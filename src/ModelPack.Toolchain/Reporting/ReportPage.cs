using System.Net;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Puts a page together: style, script and data in one file. The parts are resources of this assembly, from <c>Reporting/Web</c>.</summary>
internal static class ReportPage
{
    // The default encoder, which escapes angle brackets: no name in a file can end the element that holds the data.
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.Default, TypeInfoResolver = null };

    /// <summary>The page.</summary>
    /// <param name="title">Heading and title, as text.</param>
    /// <param name="script">Which script draws the data.</param>
    /// <param name="data">What it draws.</param>
    public static string Of(string title, string script, JsonObject data)
    {
        string[] parts = Resource("page.html").Split('{', '}');
        return string.Concat(parts.Select((part, i) => i % 2 == 0 ? part : part switch
        {
            "title" => WebUtility.HtmlEncode(title),
            "style" => Resource("report.css"),
            "data" => data.ToJsonString(Compact),
            "script" => Resource("common.js") + Resource(script),
            "footer" => WebUtility.HtmlEncode($"Made by {ArtifactContent.ToolVersion}. Everything is in this file; nothing is sent anywhere."),
            _ => throw new InvalidOperationException($"page.html has no place for '{part}'"),
        }));
    }

    private static string Resource(string name)
    {
        using Stream stream = typeof(ReportPage).Assembly.GetManifestResourceStream("report/" + name) ?? throw new InvalidOperationException($"no resource {name}");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
